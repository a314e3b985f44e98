"""A run's folder: config.toml, versions, metrics.csv, checkpoint.pt; every file whole or not there."""

from __future__ import annotations

import csv
import io
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from izhi import files
from izhi.errors import RunFolderError
from izhi.experiments.settings import Experiment, experiment, read
from izhi.training import checkpoint
from izhi.version import __version__

#: Settings that may differ when a run goes on: they do not change the finished epochs. (Under a schedule
#: of learning rates the number of epochs does.)
_MAY_DIFFER = {"epochs", "kernel", "tensorboard"}


def versions() -> dict[str, str]:
    """What the numbers of a run depend on beside its configuration."""
    names = ("torch", "numpy", "numba", "snntorch", "lightning-fabric", "scikit-learn")
    found = {name: version(name) for name in names}
    return {
        "izhi": __version__,
        "python": platform.python_version(),
        **found,
        "machine": platform.machine(),
        "threads": str(torch.get_num_threads()),
    }


def already_holds_a_run(path: Path) -> RunFolderError:
    """The error for a folder that is not empty, where the command does not say ``--resume``."""
    return RunFolderError(
        f"{path} already holds a run; go on with it by --resume, or choose another --out"
    )


@dataclass(frozen=True)
class RunFolder:
    """The files of one run.

    Args:
        path: the folder; made when the run is opened.
    """

    path: Path

    @property
    def checkpoint(self) -> Path:
        return self.path / checkpoint.NAME

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    def open(self, e: Experiment, *, resume: bool, command: str = "") -> None:
        """Make the folder for the run, or check that it holds this run and may go on.

        Raises:
            FileError: if it cannot be written.
            RunFolderError: if it holds a run and ``resume`` is False, or a run of other settings.
        """
        if self.config.exists():
            if not resume:
                raise already_holds_a_run(self.path)
            before = experiment(read(self.config)).model_dump()
            now = e.model_dump()
            fixed = {"epochs"} if e.schedule != "constant" else set()
            for name in now:
                if name not in _MAY_DIFFER - fixed and before[name] != now[name]:
                    raise RunFolderError(
                        f"{self.path} holds a run with {name} = {before[name]!r}, not {now[name]!r};"
                        " use its settings or choose another --out"
                    )
        lines = [f"izhi {__version__}", *([command] if command else [])]
        lines += [f"{name} {value}" for name, value in versions().items() if name != "izhi"]
        self.write("config.toml", e.to_toml("\n".join(lines)))

    def write(self, name: str, text: str) -> None:
        """Write a text file of the run, whole or not at all."""
        files.write_bytes(self.path / name, text.encode())

    def save_epoch(
        self, history: Sequence[Mapping[str, float]], content: Mapping[str, Any]
    ) -> None:
        """Write the checkpoint after an epoch, then the metrics of all epochs so far."""
        checkpoint.save(self.checkpoint, content)
        table = io.StringIO()
        writer = csv.DictWriter(table, fieldnames=list(history[-1]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        self.write("metrics.csv", table.getvalue())
