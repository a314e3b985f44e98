"""Figures of runs and comparisons, drawn from the numbers that their folders keep in text."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

from matplotlib.figure import Figure
from pydantic import BaseModel, Field, ValidationError, model_validator

from izhi.data.catalogue import FOLDS
from izhi.errors import RunFolderError, SettingError, shown
from izhi.experiments import plots, saved

COMPARISON = "comparison.json"
#: Bytes of a comparison that is drawn again, and characters of a text in a figure.
_LARGEST, _LONGEST = 64 << 20, 200

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Value = TypeVar("Value")


class _Epoch(BaseModel):
    test_accuracy: Share


class _Config(BaseModel):
    dataset: str
    steps: int
    fold: int | None = None


class _Row(BaseModel):
    label: str
    config: _Config
    seeds: list[int] = Field(min_length=1)
    test_accuracy: list[Share] = Field(min_length=1)
    groups: dict[str, Annotated[list[Share], Field(min_length=1)]]
    history: list[Annotated[list[_Epoch], Field(min_length=1)]] = Field(min_length=1)


class Comparison(BaseModel):
    """As much of comparison.json as its figures need."""

    rows: list[_Row] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _have_the_same_groups(self) -> Comparison:
        if any(row.groups.keys() != self.rows[0].groups.keys() for row in self.rows):
            raise ValueError("expected the same groups of test samples in every row")
        return self

    @property
    def title(self) -> str:
        """Above each figure."""
        first = self.rows[0]
        seeds = len({*first.seeds})
        folds = "" if first.config.fold is None else f", {FOLDS} folds"
        return f"{first.config.dataset}, T = {first.config.steps}, {seeds} seed{'s' if seeds > 1 else ''}{folds}"

    def accuracy(self, title: str | None = None, labels: Sequence[str] | None = None) -> Figure:
        """Test accuracy over epochs."""
        curves = {row.label: [[epoch.test_accuracy for epoch in seed] for seed in row.history] for row in self.rows}
        return plots.accuracy(_labelled(curves, labels), self.title if title is None else title)

    def outcomes(self, title: str | None = None, labels: Sequence[str] | None = None) -> Figure:
        """Test accuracy after the last epoch, each seed a point."""
        found = {row.label: row.groups or {"all": row.test_accuracy} for row in self.rows}
        return plots.outcomes(_labelled(found, labels), self.title if title is None else title)


def title_of_run(settings: Mapping[str, object]) -> str:
    """What stands above the figure of a run, and its report."""
    return f"{settings['neuron']}, {settings['connection']}, {settings['dataset']}"


def of_run(history: Sequence[Mapping[str, float]], title: str, labels: Sequence[str] | None = None) -> Figure:
    """Accuracy of a run over its epochs, on each part of the samples on which it was measured."""
    curves = {
        part: [[row[f"{part}_accuracy"] for row in history]]
        for part in ("test", "validation", "train")
        if all(f"{part}_accuracy" in row for row in history)
    }
    return plots.accuracy(_labelled(curves, labels), title, "accuracy")


def redraw(
    folder: Path, out: Path, *, figure: str = "accuracy", title: str | None = None, labels: Sequence[str] | None = None
) -> None:
    """Draw a figure of a run or a comparison again. Nothing is trained, and no checkpoint is opened.

    Args:
        folder: of the run or the comparison.
        out: the file, whose ending says the format.
        figure: accuracy, or of a comparison outcomes.
        title: above it; None for the one that it had.
        labels: of its lines or rows, in their order; None for those that they had.

    Raises:
        SettingError: if it cannot be drawn so.
        FileError, RunFolderError: if the folder's numbers are not there, or damaged.
    """
    plots.check_ending(out)
    for name, texts in (("title", [title or ""]), ("labels", labels or ())):
        for text in texts:
            if not text.isprintable() or len(text) > _LONGEST:
                raise SettingError(f"{name} has {shown(text)}, expected at most {_LONGEST} printable characters")
    try:
        plots.save(_again(folder, figure, title, labels), out)
    except ValueError as error:
        if isinstance(error, SettingError):
            raise
        # What stands between dollar signs is read as mathematics.
        reason = str(error).strip().splitlines()[-1:]
        raise SettingError(
            f"a title or label cannot be drawn ({shown(' '.join(reason))}), expected plain text, or mathematics"
            " between dollar signs; write \\$ for a dollar sign"
        ) from None


def _again(folder: Path, figure: str, title: str | None, labels: Sequence[str] | None) -> Figure:
    if os.path.lexists(folder / COMPARISON):
        found = comparison(folder)
        return found.outcomes(title, labels) if figure == "outcomes" else found.accuracy(title, labels)
    if not os.path.lexists(folder / saved.METRICS):
        raise RunFolderError(
            f"{folder} holds neither {saved.METRICS} nor {COMPARISON}, expected the folder of a run or a comparison"
        )
    if figure != "accuracy":
        raise SettingError(f"figure is {figure!r}, but {folder} is a run and no comparison; choose accuracy")
    history = saved.history(folder)
    if not history[-1]["epoch"] or not all("test_accuracy" in row for row in history):
        raise RunFolderError(f"{folder} has no accuracy of every epoch, expected a run that was trained there")
    return of_run(history, title_of_run(saved.settings(saved.config(folder))) if title is None else title, labels)


def comparison(folder: Path) -> Comparison:
    """The comparison in a folder; RunFolderError if it is damaged, FileError if it is not there."""
    try:
        found = Comparison.model_validate_json(saved.whole(folder / COMPARISON, _LARGEST))
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        place = ".".join(map(str, mistake["loc"])) or "it"
        raise RunFolderError(f"{folder / COMPARISON} is damaged: {shown(place)[1:-1]}: {mistake['msg']}") from None
    for text in (found.rows[0].config.dataset, *(row.label for row in found.rows)):
        if len(text) > _LONGEST:
            raise RunFolderError(
                f"{folder / COMPARISON} has {shown(text)}, expected at most {_LONGEST} characters in a figure"
            )
    return found


def _labelled(curves: Mapping[str, Value], labels: Sequence[str] | None) -> dict[str, Value]:
    """The same under other labels, if any are given."""
    if labels is None:
        return dict(curves)
    if len(labels) != len(curves) or len({*labels}) != len(labels) or not all(labels):
        raise SettingError(
            f"labels are {shown('; '.join(labels))}, expected {len(curves)} different ones, separated by semicolons,"
            f" for {shown('; '.join(curves))}"
        )
    return dict(zip(labels, curves.values(), strict=True))
