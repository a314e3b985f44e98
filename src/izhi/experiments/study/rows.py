"""The rows of a study: a line of JSON for every finished trial and run, in a file for each task."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from izhi import files
from izhi.errors import RunFolderError
from izhi.experiments.results.result import Count, Number, Plain, Share


class TrialRow(BaseModel):
    """A finished trial."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["trial"] = "trial"
    variant: str  #: its label
    number: Count  #: its number, from 0
    settings: dict[str, Plain]  #: its settings
    validation: tuple[Share, ...]  #: accuracy on each held-out part of the samples; empty if training diverged
    seconds: Number  #: its duration
    digest: str  #: hash of everything else that its numbers depend on
    versions: str  #: versions of the packages

    @property
    def accuracy(self) -> float:
        """The mean validation accuracy, by which it is judged; 0 if training diverged."""
        return fmean(self.validation) if self.validation else 0.0


class RunRow(BaseModel):
    """A run whose test samples were opened after training."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["run"] = "run"
    variant: str  #: its label
    seed: Count  #: its seed
    settings: dict[str, Plain]  #: the best settings of the search
    validation: Share  #: accuracy of the trial that had them
    test: Share  #: accuracy on the test samples; 0 if training diverged
    groups: dict[str, Share]  #: accuracy on groups of test samples
    parameters: Count  #: numbers that were learned
    spikes: Number  #: number of spikes of a test sample, in all layers
    acs: Number  #: effective synaptic additions of a test sample
    macs: Number  #: effective synaptic multiply-additions of a test sample
    #: technology → estimates for a sample, of the network and of its dense twin
    nanojoules: dict[str, tuple[Number, Number]]
    seconds: Number  #: duration of the training
    training: tuple[Share, ...] = ()  #: accuracy on the training samples in each epoch; none in rows of early versions
    warnings: tuple[str, ...] = ()  #: about the network, if it guesses
    digest: str  #: see TrialRow
    versions: str  #: see TrialRow

    @property
    def epochs_to_95_percent(self) -> int | None:
        """The first epoch with 95 % of the last one's training accuracy; None if that is not known."""
        return next((k for k, x in enumerate(self.training, start=1) if x >= 0.95 * self.training[-1]), None)


#: Fields that a line lacks where they are empty.
_OPTIONAL = ("training", "warnings")
_LINE: TypeAdapter[TrialRow | RunRow] = TypeAdapter(TrialRow | RunRow)


def place(folder: Path, task: str) -> Path:
    """The file of a task's rows."""
    return folder / f"{task}.jsonl"


def read(folder: Path, task: str) -> list[TrialRow | RunRow]:
    """The rows of a task; none where there is no file yet.

    Raises:
        RunFolderError: for a damaged line.
    """
    path = place(folder, task)
    if not path.exists():
        return []
    with files.reading(path):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(_LINE.validate_json(line))
        except ValidationError:
            raise RunFolderError(
                f"{path}: line {number} is no row of a study; remove it, and it is run again"
            ) from None
    return rows


def write(folder: Path, task: str, rows: Iterable[TrialRow | RunRow]) -> None:
    """Write the rows of a task, whole or not at all."""
    plain = [{name: x for name, x in row.model_dump().items() if name not in _OPTIONAL or x} for row in rows]
    text = "".join(json.dumps(_short(row), ensure_ascii=False) + "\n" for row in plain)
    files.write_bytes(place(folder, task), text.encode())


def _short(value: object) -> object:
    """Numbers with the digits that count: accuracies to a millionth, others to six digits."""
    if isinstance(value, dict):
        return {key: item if key == "settings" else _short(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_short(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
