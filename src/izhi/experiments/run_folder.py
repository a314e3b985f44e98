"""A run's folder: config.toml, versions, metrics.csv, checkpoint.pt, best.pt; every file is written atomically."""

from __future__ import annotations

import csv
import io
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from izhi import files
from izhi.errors import CheckpointError, RunFolderError, SettingError, shown
from izhi.experiments import saved
from izhi.experiments.settings import Experiment, Mark, experiment, marked, read, saved_experiment
from izhi.spec import EncoderSpec, encoder_of_table
from izhi.training import Progress, best_epoch, checkpoint
from izhi.version import __version__


def versions() -> dict[str, str]:
    """The versions and the machine that a run's numbers depend on."""
    names = ("torch", "numpy", "numba", "snntorch", "lightning-fabric", "scikit-learn")
    packages = {name: version(name) for name in names}
    return {
        "izhi": __version__,
        "python": platform.python_version(),
        **packages,
        "machine": platform.machine(),
        "threads": str(torch.get_num_threads()),
    }


def accuracy_of(path: Path, history: Sequence[Mapping[str, float]]) -> float:
    """The last test accuracy of a history; CheckpointError, which names the checkpoint, if it has none."""
    if not history or "test_accuracy" not in history[-1]:
        raise CheckpointError(f"{path} has no test_accuracy in its history; use a checkpoint of a finished epoch")
    return history[-1]["test_accuracy"]


def already_holds_a_run(path: Path) -> RunFolderError:
    """The error for a folder that is not empty, without ``--resume``."""
    return RunFolderError(f"{path} already holds a run; resume it with --resume, or choose another --out")


#: What a checkpoint holds besides the progress of its run.
_ABOUT = {
    "config": checkpoint.TABLE,
    "inputs": checkpoint.WHOLE,
    "classes": checkpoint.CLASSES,
}


@dataclass(frozen=True)
class Saved:
    """What a run's checkpoint holds."""

    path: Path  #: path of the checkpoint
    experiment: Experiment  #: the run's settings
    inputs: int  #: width of an encoded sample
    shape: tuple[int, ...]  #: shape of its features, channels first
    classes: tuple[str, ...]  #: their names
    progress: Progress  #: how far the run is, and its weights
    #: the network's description, see ``NetworkSpec.tables``; None for checkpoints of early versions
    tables: Sequence[Mapping[str, object]] | None = None
    encoder: EncoderSpec | None = None  #: the encoder's description; None for checkpoints of early versions


def load(path: Path, changes: Mapping[str, object] | None = None) -> Saved:
    """The checkpoint of a run folder, or the file itself; CheckpointError if it is missing, damaged, or of no run."""
    path = path / checkpoint.NAME if path.is_dir() else path
    return saved_of(path, checkpoint.load(path, _ABOUT), changes)


def saved_of(path: Path, content: Mapping[str, Any], changes: Mapping[str, object] | None = None) -> Saved:
    """The checkpoint of this content; CheckpointError, which names ``path``, if it is of no run."""
    checkpoint.expect(path, content, _ABOUT)
    kinds = {"network": checkpoint.TABLES, "encoder": checkpoint.TABLE, "shape": checkpoint.SHAPE}
    checkpoint.expect(path, content, {name: kind for name, kind in kinds.items() if name in content})
    # A setting that is newer than the checkpoint had its default there.
    e = saved_experiment({**content["config"], **(changes or {})})
    progress = checkpoint.progress_of(content)
    shape = tuple(content.get("shape", [content["inputs"]]))  # older checkpoints have none
    if math.prod(shape) != content["inputs"]:
        raise CheckpointError(f"{path} has shape {shown(list(shape))}, expected {content['inputs']} features in all")
    try:
        encoder = encoder_of_table(content["encoder"]) if "encoder" in content else None
    except SettingError as error:
        raise CheckpointError(f"{path} describes another encoder: {error}") from None
    classes, network = tuple(content["classes"]), content.get("network")
    return Saved(path, e, content["inputs"], shape, classes, progress, network, encoder)


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path  #: the folder; made when the run is opened

    @property
    def checkpoint(self) -> Path:
        return self.path / checkpoint.NAME

    @property
    def best(self) -> Path:
        return self.path / "best.pt"

    @property
    def start(self) -> Path:
        """A copy of the checkpoint whose weights the run began with."""
        return self.path / "start.pt"

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @property
    def command(self) -> str:
        """The command that began the run, from its configuration; empty if it names none."""
        if not self.config.exists():
            return ""
        with files.reading(self.config), self.config.open(encoding="utf-8", errors="replace") as file:
            return saved.command_of([file.readline() for _ in range(2)])

    def open(self, e: Experiment, *, resume: bool, command: str = "") -> None:
        """Make the folder for the run, or check that it holds this run and may be resumed.

        Raises:
            FileError: if it cannot be written.
            RunFolderError: if it holds a run and ``resume`` is False, or a run of other settings.
        """
        if self.config.exists():
            if not resume:
                raise already_holds_a_run(self.path)
            before, now = experiment(read(self.config)).flat(), e.flat()
            # Under a schedule the number of epochs decides the learning rates of finished epochs.
            fixed = {"epochs"} if e.training.schedule != "constant" else set()
            for name in now:
                if name not in {*marked(Mark.MAY_CHANGE)} - fixed and before[name] != now[name]:
                    raise RunFolderError(
                        f"{self.path} holds a run with {name} = {before[name]!r}, not {now[name]!r};"
                        " use its settings or choose another --out"
                    )
        began = self.command or command
        lines = [f"izhi {__version__}", *([began] if began else [])]
        lines += [f"{name} {value}" for name, value in versions().items() if name != "izhi"]
        self.write("config.toml", e.to_toml("\n".join(lines)))

    def write(self, name: str, text: str) -> None:
        """Write a text file of the run, whole or not at all."""
        files.write_bytes(self.path / name, text.encode())

    def progress(self, e: Experiment) -> Progress | None:
        """How far its checkpoint is; None without one; CheckpointError for one of another network."""
        if not self.checkpoint.exists():
            return None
        saved = load(self.checkpoint)
        there, here = saved.experiment.flat(plain=True), e.flat(plain=True)
        for name in marked(Mark.SHAPES):
            if here[name] != there[name]:
                raise CheckpointError(
                    f"{self.checkpoint} is from another network: {name} is {there[name]!r} there,"
                    f" expected {here[name]!r}; use the settings of the run that wrote it"
                )
        for row in saved.progress.history:
            if not {"epoch", "test_accuracy"} <= row.keys():
                raise CheckpointError(f"{self.checkpoint} lacks an epoch or its test_accuracy; use an intact copy")
        return saved.progress

    def keep(self, about: Mapping[str, object], progress: Progress) -> None:
        """Write the checkpoint after an epoch, then the metrics of all epochs so far.

        After the epoch that is best on the validation samples so far, if there are any, also best.pt.
        """
        content = {**about, **checkpoint.content_of(progress)}
        accuracies = [row["validation_accuracy"] for row in progress.history if "validation_accuracy" in row]
        # Before the checkpoint: a run that is killed between the two repeats this epoch.
        if accuracies and best_epoch(accuracies) == len(accuracies) - 1:
            checkpoint.save(self.best, content)
        checkpoint.save(self.checkpoint, content)
        table = io.StringIO()
        names = dict.fromkeys(name for row in reversed(progress.history) for name in row)
        writer = csv.DictWriter(table, fieldnames=list(names), lineterminator="\n")
        writer.writeheader()
        writer.writerows(progress.history)
        self.write("metrics.csv", table.getvalue())
