"""What the commands have in common: the parser, settings as options, folders, and results for scripts."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from izhi import files
from izhi.errors import SettingError
from izhi.experiments.settings import FIELDS, read


class Parser(argparse.ArgumentParser):
    """argparse with errors of one line."""

    def error(self, message: str) -> NoReturn:
        raise SettingError(f"{message}; see {self.prog} --help")


class Commands:
    """The sub-commands of a parser."""

    def __init__(self, top: Parser) -> None:
        self._commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    def add(self, name: str, run: Callable[[argparse.Namespace], None], about: str) -> Parser:
        """A sub-command that calls ``run``."""
        sub: Parser = self._commands.add_parser(name, help=about, description=about, allow_abbrev=False)
        sub.set_defaults(run=run)
        sub.add_argument("--json", metavar="FILE", help="write the result for scripts")
        return sub


def run_options(sub: Parser) -> None:
    """Options of every command that trains."""
    sub.add_argument("--config", metavar="FILE", help="TOML file of settings")
    sub.add_argument("--out", metavar="FOLDER", help="run folder [runs/TIME-NAME]")
    sub.add_argument("--resume", action="store_true", help="continue the runs in --out")
    sub.add_argument("--quiet", action="store_true", help="show no progress")


def add_settings(parser: Parser, *, without: Sequence[str] = ()) -> None:
    """An option for every setting of an experiment."""
    group = parser.add_argument_group("settings (each also a key of the TOML file)")
    for name, field in FIELDS.items():
        if name in without:
            continue
        default = "" if field.default is None else f" [{_shown(field.default)}]"
        group.add_argument(
            f"--{name.replace('_', '-')}",
            dest=name,
            metavar="VALUE",
            help=(field.description or "").replace("%", "%%") + default,
        )


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return str(default).lower() if isinstance(default, bool) else str(default)


def settings(arguments: argparse.Namespace) -> dict[str, object]:
    """Settings from the TOML file, if one is named, overridden by those of the command line."""
    file = getattr(arguments, "config", None)
    values = read(Path(file)) if file else {}
    given = {n: getattr(arguments, n, None) for n in FIELDS}
    return {**values, **{name: value for name, value in given.items() if value is not None}}


def make_folder(arguments: argparse.Namespace, name: str) -> Path:
    """--out, or a folder named by time below runs/; $IZHI_RUN carries it to further processes."""
    if arguments.out:
        return Path(arguments.out)
    stamp = os.environ.setdefault("IZHI_RUN", f"{datetime.now():%Y%m%d-%H%M%S}")
    return Path("runs") / f"{stamp}-{name}"


def write_json(path: str | None, value: Any) -> None:
    if path:
        files.write_bytes(Path(path), (json.dumps(value, indent=2) + "\n").encode())


def whole_numbers(name: str, text: str, example: str) -> list[int]:
    """The different numbers of a comma-separated list."""
    try:
        return list(dict.fromkeys(int(part) for part in str(text).split(",")))
    except ValueError:
        raise SettingError(f"{name} is {text!r}, expected whole numbers such as {example}") from None


def is_first_process() -> bool:
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def report_line(line: str) -> None:
    print(line, file=sys.stderr)


def command_line() -> str:
    """The command as it was typed."""
    return shlex.join(["izhi", *sys.argv[1:]])
