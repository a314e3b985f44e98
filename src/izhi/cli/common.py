"""Shared by the commands: settings, folders, tables, and results for scripts."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from izhi import files
from izhi.errors import SettingError, shown
from izhi.experiments.settings import FIELDS, Mark, marked, read

if TYPE_CHECKING:
    from izhi.experiments.planned import Plan
    from izhi.experiments.tables import Table


def settings(arguments: argparse.Namespace) -> dict[str, object]:
    """Settings of the TOML file, overridden by those of the command line."""
    file = getattr(arguments, "config", None)
    values = read(Path(file), warn=True) if file else {}
    typed = {name: getattr(arguments, name, None) for name in FIELDS}
    return {**values, **{name: value for name, value in typed.items() if value is not None}}


def make_folder(arguments: argparse.Namespace, name: str) -> Path:
    """The folder of --out, or a new one below runs/, named by time; it becomes --out.

    $IZHI_RUN passes the name of a new folder to further processes of a run on several devices.

    Raises:
        FileError: if the folder cannot be made.
        SettingError: in a further process without $IZHI_RUN.
    """
    if not arguments.out:
        if is_first_process():
            stamp, name = f"{datetime.now():%Y%m%d-%H%M%S}", re.sub(r"[^\w.=+-]+", "-", name).strip("-")
            arguments.out = os.environ["IZHI_RUN"] = str(files.new_folder(Path("runs"), f"{stamp}-{name}"))
        elif "IZHI_RUN" in os.environ:
            arguments.out = os.environ["IZHI_RUN"]
        else:
            raise SettingError("several processes share this run, but it has no folder; give --out")
    return Path(arguments.out)


def agreed_plan(arguments: argparse.Namespace, values: Mapping[str, object], *more: str) -> Plan:
    """The plan of several runs, of which settings that may change, and ``more`` names, may differ when they resume."""
    from izhi.experiments import planned  # which loads torch

    may_change = (*marked(Mark.MAY_CHANGE), *more)
    if arguments.out:
        folder, stage = Path(arguments.out), arguments.command
        return planned.agree(folder, stage, values, resume=arguments.resume, may_change=may_change)
    return {"stage": arguments.command, **{name: value for name, value in values.items() if value is not None}}


def hold(folder: Path) -> AbstractContextManager[None]:
    """Within it no other command writes the folder; further processes of this command may."""
    return files.holding(folder) if is_first_process() else nullcontext()


def print_table(table: Table, title: str | None = None, *, left: int = 0, boxed: bool = True) -> None:
    """Print a table of the width of the terminal, or of its own width without one.

    Args:
        title: above it; None for its name.
        left: number of columns, from the first, that are aligned left.
        boxed: True for a title and lines in any case; False for plain text unless a terminal is wide enough.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as Box

    box = Box(title=escape(table.name if title is None else title))
    for number, heading in enumerate(table.headings):
        box.add_column(heading, justify="left" if number < left else "right")
    for row in table.rows:
        box.add_row(*map(escape, row))
    wide = Console(width=1000).measure(box).maximum
    # Without colours rich still writes bold and italic.
    system: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    console = Console(width=None if sys.stdout.isatty() else wide, color_system=system)
    if boxed or (sys.stdout.isatty() and wide <= console.width):
        console.print(box)
    else:
        _print_text([table.headings, *table.rows], left)


def _print_text(lines: Sequence[Sequence[str]], left: int) -> None:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            f"{cell:{'<' if number < left else '>'}{width}}"
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join(cells).rstrip())


def write_json(target: str | TextIO | None, value: object) -> None:
    """Write a result for scripts to a file or an open stream; nothing for None."""
    if not target:
        return
    text = json.dumps(value, indent=2) + "\n"
    if isinstance(target, str):
        files.write_bytes(Path(target), text.encode())
    else:
        target.write(text)


def whole_numbers(name: str, text: str, example: str) -> list[int]:
    """The different numbers of a comma-separated list."""
    try:
        return list(dict.fromkeys(map(int, str(text).split(","))))
    except ValueError:
        raise SettingError(f"{name} is {shown(text)}, expected whole numbers such as {example}") from None


def is_first_process() -> bool:
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def report_line(line: str) -> None:
    print(line, file=sys.stderr)


def command_line() -> str:
    """The typed command."""
    return shlex.join(["izhi", *sys.argv[1:]])
