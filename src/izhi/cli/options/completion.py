"""Options of ``izhi completion``."""

from __future__ import annotations

from izhi.cli.parser import Command

SHELLS = ("bash", "zsh", "tcsh")


def completion(command: Command) -> None:
    command.add_argument("shell", choices=SHELLS, help="shell of the script")
