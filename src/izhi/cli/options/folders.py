"""Options of the commands on folders of runs."""

from __future__ import annotations

from izhi.cli.parser import Command
from izhi.experiments.settings.choices import FIGURES, ORDERS


def runs(command: Command) -> None:
    command.add_argument("folder", metavar="FOLDER", nargs="?", default="runs", help="folder of runs")
    selection = command.group("selection")
    selection.add_argument(
        "--filter", metavar="LIST", help="settings name=value, comma-separated, such as dataset=mnist,neuron=lif [all]"
    )
    which = selection.add_mutually_exclusive_group()
    which.add_argument("--finished", action="store_true", help="finished runs only")
    which.add_argument("--unfinished", action="store_true", help="unfinished runs only, without damaged ones")
    command.add_argument(
        "--sort", choices=ORDERS, default=ORDERS[0], help="order: the newest, best or first name first"
    )
    command.add_argument("--differs", action="store_true", help="columns of the differing settings only")
    removal = command.group("removal")
    removal.add_argument("--remove", action="store_true", help="removal of the listed runs, after a question")
    removal.add_argument("--yes", action="store_true", help="removal without a question")


#: Folders of pages and figures.
_FOLDERS = "folder of a run, comparison, search, sweep, evolution on a device or adaptation"


def report(command: Command) -> None:
    command.add_argument("folder", metavar="FOLDER", help=_FOLDERS)
    command.group("output").add_argument("--out", metavar="FILE", help="page (.html) [FOLDER/report.html]")


def rank(command: Command) -> None:
    command.add_argument(
        "folders", metavar="FOLDER", nargs="+", help="comparisons of the same variants on different data sets"
    )
    command.group("output").add_argument("--out", metavar="FOLDER", help="folder of table and figure [runs/TIME-rank]")


def redraw(command: Command) -> None:
    command.add_argument("folder", metavar="FOLDER", help=_FOLDERS)
    command.add_argument("--figure", choices=FIGURES, help="figure, in a folder with several [the first]")
    command.add_argument("--title", metavar="TEXT", help="title [the figure's]")
    command.add_argument(
        "--labels", metavar="LIST", help="labels of lines or rows, separated by semicolons [the figure's]"
    )
    command.group("output").add_argument("--out", metavar="FILE", required=True, help="figure (.png, .svg, .pdf)")


def explore(command: Command) -> None:
    command.add_argument("folder", metavar="FOLDER", nargs="?", default="runs", help="folder of runs and artifacts")
    command.add_argument("--port", type=int, default=5006, metavar="N", help="port; 0 for a free one")
    command.add_argument("--no-browser", action="store_true", help="address of the page only, no browser")
