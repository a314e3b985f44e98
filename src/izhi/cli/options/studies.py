"""Options of studies."""

from __future__ import annotations

from izhi.cli.options.settings import jobs_options
from izhi.cli.parser import Command


def study(command: Command) -> None:
    command.add_argument("protocol", metavar="FILE", help="TOML file: tasks, variants, search, seeds, contrasts")
    command.add_argument(
        "--out", metavar="FOLDER", required=True, help="folder of the rows, which is gone on with, and of the report"
    )
    command.add_argument("--tasks", metavar="LIST", help="only these, comma-separated [all]")
    command.add_argument("--report", action="store_true", help="train nothing: tables and figures of what there is")
    command.add_argument("--quiet", action="store_true", help="show no progress")
    jobs_options(command, "so many trials or runs of a task")
