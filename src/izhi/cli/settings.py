"""The settings of an experiment as options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from izhi.cli.parser import Command
from izhi.data import require_known
from izhi.experiments.settings import FIELDS, GROUP_OF, GROUPS, RENAMED, Mark, marked, typed
from izhi.spec import entry_of_preset


def add_settings(command: Command, *, without: Sequence[str] = (), common: Mark = Mark.COMMON) -> None:
    """An option for every setting of an experiment, with a check that needs no code of the command.

    Args:
        without: names of the settings that are no options of the command.
        common: marks of the settings that ``--help`` lists; ``--help-all`` lists all.
    """
    command.set_defaults(check=partial(check_values, without=without))
    command.renamed = {_option(old): _option(new) for old, new in RENAMED.items() if new not in without}
    for name in FIELDS:
        if name not in without and name not in marked(Mark.OF_FILES):
            group = GROUPS[GROUP_OF[name]]
            title, about = f"settings [{GROUP_OF[name]}]", (group.__doc__ or "").partition("\n")[0]
            action = add_setting(command, name, title=title, about=about)
            if name not in marked(common):
                command.rare.add(action)


def check_values(arguments: argparse.Namespace, *, without: Sequence[str] = ()) -> None:
    """Raise SettingError for the first invalid setting of the command line."""
    texts = {name: getattr(arguments, name, None) for name in FIELDS if name not in without}
    values = typed({name: value for name, value in texts.items() if value is not None})
    if "dataset" in values:
        require_known(str(values["dataset"]))
    if "neuron" in values:
        entry_of_preset(str(values["neuron"]))


def add_setting(
    command: Command, name: str, default: str | None = None, *, title: str = "settings", about: str | None = None
) -> argparse.Action:
    """An option for one setting, in the group of that title.

    Args:
        default: for the help; None for the setting's own.
    """
    text, _, usual = (FIELDS[name].description or "").replace("%", "%%").partition("; default: ")
    shown = default or usual or _shown(FIELDS[name].default)
    return command.group(title, about).add_argument(_option(name), **_value(FIELDS[name]), help=f"{text} [{shown}]")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _value(field: FieldInfo) -> dict[str, Any]:
    """Arguments of argparse for the setting's value: a switch, one of some choices, or text."""
    kinds = [x for x in (get_args(field.annotation) or (field.annotation,)) if x is not type(None)]
    if field.annotation is bool:
        # With a value as well, so that the command line can switch off what a file sets.
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
        return ",".join(map(str, default)) or "none"
    return {"False": "off", "True": "on"}.get(str(default), str(default))
