"""Lists of the runs in a folder: search, filter by settings, and order; removal of runs, file by file.

Folders may be damaged or hostile. Links are not followed, only a run's own configuration and metrics are opened, and
the list shows the damage of each run. Only files with the names of a run's files are removed.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from izhi import files
from izhi.errors import IzhiError, SettingError, in_one_line, shown, unknown
from izhi.experiments import saved
from izhi.experiments.settings import FIELDS, typed
from izhi.experiments.settings.fields import comma_separated
from izhi.experiments.tables import Table
from izhi.spec import entry_of_preset

#: Depth of the search for runs below the folder; a comparison's run lies three folders down.
_LEVELS = 4
HEADINGS = (
    "run", "command", "data set", "neuron", "connection", "finished", "when", "seed", "epochs", "validation (%)",
    "test (%)",
)  # fmt: skip
#: Of these columns, from the first, so many hold words.
WORDS = 7
#: Files that a run, and commands that read it, write into its folder.
_OWN = (
    r"(?:config\.toml|metrics\.csv|(?:checkpoint|best|start)\.pt|report\.(?:md|html)"
    r"|(?:accuracy|confusion|dynamics|sample-\d+)\.png)"
)
#: The same, and unfinished files of a killed process.
_FILES = re.compile(rf"{_OWN}|\.{_OWN}-\w+\.part")
#: Files that a message names.
_MOST_NAMED = 5


@dataclass(frozen=True)
class ListedRun:
    """A run as it is listed."""

    path: Path  #: path of its folder
    name: str  #: the path below the folder that is listed
    time: float = 0.0  #: time of its metrics, else of its settings, in seconds since 1970
    is_ours: bool = False  #: whether its configuration has izhi's header
    command: str = ""  #: the command that made it, such as train; empty if unknown
    settings: Mapping[str, object] = field(default_factory=dict)  #: all settings by name; none if they are damaged
    metrics: Mapping[str, float] = field(default_factory=dict)  #: after the last epoch; none before the first one
    is_finished: bool = False  #: whether all its epochs are finished
    damage: str = ""  #: a line about damaged files; empty if there are none

    @property
    def epochs(self) -> int:
        """The number of finished epochs."""
        return int(self.metrics.get("epoch", 0))

    @property
    def when(self) -> datetime | None:
        """Its local time; None for a time outside the calendar."""
        try:
            return datetime.fromtimestamp(self.time)
        except (ValueError, OverflowError, OSError):
            return None

    def summary(self) -> dict[str, object]:
        """The run as plain values, for --json."""
        return {
            "run": self.name,
            "folder": str(self.path),
            "command": self.command,
            "epochs": self.epochs,
            "planned": self.settings.get("epochs"),
            "finished": self.is_finished,
            "test_accuracy": self.metrics.get("test_accuracy"),
            "validation_accuracy": self.metrics.get("validation_accuracy"),
            "when": self.when and self.when.isoformat(timespec="seconds"),
            "config": dict(self.settings),
            "damaged": self.damage or None,
        }


def find(folder: Path) -> list[ListedRun]:
    """The runs in a folder and in those below it, in the order of their names; FileError if it cannot be read."""
    with files.reading(folder):
        os.scandir(folder).close()
    return sorted(_below(folder, folder, _LEVELS), key=lambda run: run.name)


def _below(folder: Path, top: Path, levels: int) -> Iterator[ListedRun]:
    name = folder.relative_to(top).as_posix()
    try:
        with os.scandir(folder) as entries:
            inside = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
    except OSError as error:
        yield ListedRun(folder, name, damage=in_one_line(f"cannot be read: {files.problem(error)}"))
        return
    if saved.CONFIG in inside or saved.METRICS in inside:
        yield _read(folder, name, has_metrics=saved.METRICS in inside)
    if levels:
        for below in (x for x, is_folder in inside.items() if is_folder and not x.startswith(".")):
            yield from _below(folder / below, top, levels - 1)


def _read(folder: Path, name: str, *, has_metrics: bool) -> ListedRun:
    run = ListedRun(folder, name)
    try:
        with files.reading(folder):
            run = replace(run, time=os.lstat(folder / (saved.METRICS if has_metrics else saved.CONFIG)).st_mtime)
        config = saved.config(folder)
        command = saved.command_of(config.decode(errors="replace").split("\n", 2))
        words = command.split()[1:3]  # train of izhi train, import of izhi nir import
        stage = words[1:] if words[:1] == ["nir"] else words[:1]
        run = replace(run, is_ours=True, command=shown("".join(stage))[1:-1])
        settings = saved.settings(config)
        run = replace(run, settings=settings)
        if has_metrics:
            metrics = saved.last(folder)
            run = replace(run, metrics=metrics, is_finished=_is_finished(folder, settings, metrics))
    except IzhiError as error:
        run = replace(run, damage=str(error).replace(f"{folder}{os.sep}", ""))
    return run


def _is_finished(folder: Path, settings: Mapping[str, object], last: Mapping[str, float]) -> bool:
    """Whether a run is at its last epoch, was stopped early, or is of a network that was not trained there."""
    epochs, patience = settings["epochs"], settings["patience"]
    assert isinstance(epochs, int)
    if not 0 < last["epoch"] < epochs:
        return True
    if not isinstance(patience, int):
        return False
    accuracies = [row["validation_accuracy"] for row in saved.history(folder) if "validation_accuracy" in row]
    return bool(accuracies) and len(accuracies) - 1 - accuracies.index(max(accuracies)) >= patience


def wanted(text: str) -> dict[str, list[object]]:
    """The settings of a filter such as ``dataset=mnist,neuron=normalized``, and the wanted values of each.

    A setting that is named twice may have either value; lists within a value are joined by ``+``, and ``none`` is
    the value of a setting that is not chosen.
    """
    values: dict[str, list[object]] = {}
    for condition in comma_separated(text):
        key, equals, value = condition.partition("=")
        name, value = key.strip().replace("-", "_"), value.strip()
        if name not in FIELDS:
            raise unknown("setting", name, FIELDS)
        if not equals or not value:
            raise SettingError(f"filter has {shown(condition)}, expected setting=value, such as dataset=mnist")
        if value == "none" and FIELDS[name].default is None:
            values.setdefault(name, []).append(None)
            continue
        if name == "neuron":
            entry_of_preset(value)
        values.setdefault(name, []).append(typed({name: value.replace("+", ",")})[name])
    if not values:
        raise SettingError(f"filter is {shown(text)}, expected setting=value, such as dataset=mnist")
    return values


def has(run: ListedRun, wanted: Mapping[str, Sequence[object]]) -> bool:
    """Whether the settings of a run have the wanted values; False for damaged settings."""
    return all(name in run.settings and run.settings[name] in values for name, values in wanted.items())


def ordered(runs: Sequence[ListedRun], order: str) -> list[ListedRun]:
    """Runs of the same folder in one of ``choices.ORDERS``: the newest, or the most accurate, first."""
    by_name = sorted(runs, key=lambda run: run.name)
    if order == "name":
        return by_name
    if order == "accuracy":
        return sorted(by_name, key=lambda run: run.metrics.get("test_accuracy", -1.0), reverse=True)
    return sorted(by_name, key=lambda run: run.time, reverse=True)


def differing(runs: Sequence[ListedRun]) -> list[str]:
    """Names of the settings in which runs differ."""
    settings = [run.settings for run in runs if run.settings]
    return [name for name in FIELDS if any(x[name] != settings[0][name] for x in settings)]


def cells(run: ListedRun) -> tuple[str, ...]:
    """A row of the table, under ``HEADINGS``."""
    names = ("dataset", "neuron", "connection")
    words = [value(run, name) for name in names]
    state = "damaged" if run.damage else "yes" if run.is_finished else "no"
    when = f"{run.when:%Y-%m-%d %H:%M}" if run.when else "-"
    epochs = f"{run.epochs:,} of {run.settings['epochs']:,}" if run.settings else "-"
    return (
        in_one_line(run.name), run.command or "-", *words, state, when, value(run, "seed"), epochs,
        percent(run, "validation_accuracy"), percent(run, "test_accuracy"),
    )  # fmt: skip


def differences_table(runs: Sequence[ListedRun], names: Sequence[str]) -> Table:
    """The table of some settings, between each run's name and its accuracy."""
    rows = [
        (in_one_line(run.name), *(value(run, name) for name in names), percent(run, "test_accuracy")) for run in runs
    ]
    return Table(("run", *names, "test (%)"), rows)


def value(run: ListedRun, name: str) -> str:
    """A setting of a run, short enough for a table."""
    if not run.settings:
        return "-"
    content = run.settings[name]
    if isinstance(content, bool):
        return str(content).lower()
    if isinstance(content, list) and all(isinstance(x, (int, str)) for x in content):
        content = ",".join(map(str, content))
    if isinstance(content, str):
        return shown(content)[1:-1] or "-"
    return "-" if content is None else shown(content)


def percent(run: ListedRun, metric: str) -> str:
    """An accuracy of a run."""
    return f"{100 * run.metrics[metric]:.2f}" if metric in run.metrics else "-"


def check_unused(run: ListedRun) -> None:
    """Raise RunFolderError if another process holds a run."""
    with files.undisturbed(run.path):
        pass


def remove(run: ListedRun) -> list[str]:
    """Remove the files that a run folder holds by name, and the folder if it is then empty.

    Returns:
        names of what stays: files of others, links, folders.

    Raises:
        FileError: if a file cannot be removed.
        RunFolderError: if another process holds the run.
    """
    with files.undisturbed(run.path), files.writing(run.path):
        with os.scandir(run.path) as entries:
            modes = {entry.name: entry.stat(follow_symlinks=False).st_mode for entry in entries}
        own = {name for name, mode in modes.items() if _FILES.fullmatch(name) and stat.S_ISREG(mode)}
        # The configuration identifies a run: it is removed last, so that an interrupted removal can be repeated.
        for name in sorted(own, key=lambda name: name == saved.CONFIG):
            os.unlink(run.path / name)
        kept = sorted(modes.keys() - own)
        if not kept:
            os.rmdir(run.path.resolve())  # also where it is named by .
    return kept


def named(names: Sequence[str]) -> str:
    """Names of files in one line, the first of many."""
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(shown(name)[1:-1] for name in names[:_MOST_NAMED]) + more
