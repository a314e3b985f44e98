"""Options of studies."""

from __future__ import annotations

from izhi.cli.options.settings import jobs_options
from izhi.cli.parser import Command


def study(command: Command) -> None:
    command.add_argument("protocol", metavar="FILE", help="TOML file: tasks, variants, search, seeds, contrasts")
    command.add_argument("--tasks", metavar="LIST", help="names of tasks, comma-separated [all]")
    output = command.group("output")
    output.add_argument(
        "--out", metavar="FOLDER", required=True, help="folder of rows, resumed if not empty, and report"
    )
    output.add_argument("--report", action="store_true", help="tables and figures of the finished rows, no training")
    output.add_argument("--quiet", action="store_true", help="no progress")
    jobs_options(command, "trials or runs of a task")
