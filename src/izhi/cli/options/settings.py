"""Options that several commands have: settings of an experiment, and those of every command that trains."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from izhi.cli.parser import Command
from izhi.data import require_known
from izhi.experiments.settings import FIELDS, Mark, marked, typed
from izhi.experiments.settings.kinds import kind as known_neuron


def run_options(command: Command) -> None:
    """Options of every command that trains."""
    command.add_argument("--config", metavar="FILE", help="TOML file of settings")
    folder_options(command)


def folder_options(command: Command) -> None:
    """Options of every command that writes a folder and can be interrupted."""
    command.add_argument("--out", metavar="FOLDER", help="run folder [runs/TIME-NAME]")
    command.add_argument("--resume", action="store_true", help="continue the runs in --out")
    shown = command.add_mutually_exclusive_group()
    shown.add_argument("--quiet", action="store_true", help="show no progress")
    shown.add_argument(
        "--verbose", action="store_true", help="show the settings of each run, and of each epoch its time and spikes"
    )


def jobs_options(command: Command, what: str) -> None:
    """Options of commands that may do several runs at once."""
    command.add_argument(
        "--jobs", type=int, metavar="N",
        help=f"{what} at once, each in a process of its own with an equal share of the threads [1]",
    )  # fmt: skip
    command.add_argument(
        "--ray", metavar="ADDRESS",
        help=f"{what} at once on a Ray cluster: auto, host:port, or local to start one here [none]",
    )  # fmt: skip


def samples_options(command: Command, of: str = "") -> None:
    """Options of commands that run test samples through an artifact."""
    command.add_argument("--dataset", metavar="NAME", help=f"{of}another data set of the same inputs and classes")
    command.add_argument(
        "--samples",
        metavar="N|FILE",
        help=f"{of}only the first N test samples, or those of a file of izhi export --samples (.npz) [all]",
    )


def add_settings(command: Command, *, without: Sequence[str] = ()) -> None:
    """An option for every setting of an experiment, whose value is looked at before the command's code is loaded."""
    command.set_defaults(check=partial(check_values, without=without))
    group = command.add_argument_group("settings (each also a key of the TOML file)")
    for name, field in FIELDS.items():
        if name not in without and name not in marked(Mark.OF_FILES):
            default = "" if field.default is None else f" [{_shown(field.default)}]"
            group.add_argument(f"--{name.replace('_', '-')}", dest=name, **_value(field), help=about(name) + default)


def check_values(arguments: argparse.Namespace, *, without: Sequence[str] = ()) -> None:
    """Raise SettingError for the first setting of the command line that is none by itself."""
    given = {name: getattr(arguments, name, None) for name in FIELDS if name not in without}
    found = typed({name: value for name, value in given.items() if value is not None})
    if "dataset" in found:
        require_known(str(found["dataset"]))
    if "neuron" in found:
        known_neuron(str(found["neuron"]))


def add_setting(command: Command, name: str, default: str = "") -> None:
    """An option for one setting, whose default is said."""
    command.add_argument(f"--{name.replace('_', '-')}", **_value(FIELDS[name]), help=about(name) + default)


def about(name: str) -> str:
    """What a setting is, as argparse's help takes it."""
    return (FIELDS[name].description or "").replace("%", "%%")


def _value(field: FieldInfo) -> dict[str, Any]:
    """How an option takes the setting's value: as a switch, one of some choices, or text to be checked."""
    kinds = [x for x in (get_args(field.annotation) or (field.annotation,)) if x is not type(None)]
    if field.annotation is bool:
        # With a value as well, so that what a file sets can be taken back.
        return {"nargs": "?", "const": "true", "choices": ("true", "false")}
    literal = field.annotation if get_origin(field.annotation) is Literal else kinds[0]
    if get_origin(literal) is Literal:
        return {"choices": get_args(literal)}
    for kind, metavar in ((int, "N"), (float, "X")):
        if kind in kinds:
            return {"metavar": metavar}
    return {"metavar": "LIST" if isinstance(field.default, tuple) else "NAME"}


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return str(default).lower() if isinstance(default, bool) else str(default)
