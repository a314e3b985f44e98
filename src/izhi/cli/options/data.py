"""Options of ``izhi data``."""

from __future__ import annotations

from izhi.cli.parser import Command


def data_sets(command: Command) -> None:
    actions = ("list", "fetch", "verify")
    command.add_argument("action", nargs="?", choices=actions, default="list", help="list, download, or check of files")
    command.add_argument("names", nargs="*", metavar="NAME", help="names of data sets [all]")
