"""Options of the commands that look at folders of runs, without what trained them."""

from __future__ import annotations

from izhi.cli.parser import Command
from izhi.experiments.settings.choices import FIGURES, ORDERS


def runs(command: Command) -> None:
    command.add_argument("folder", metavar="FOLDER", nargs="?", default="runs", help="where they are [%(default)s]")
    command.add_argument(
        "--filter", metavar="LIST",
        help="only runs of these settings: name=value, comma-separated, such as dataset=mnist,neuron=lif [all]",
    )  # fmt: skip
    command.add_argument("--sort", choices=ORDERS, default=ORDERS[0], help="what comes first [%(default)s: the newest]")
    command.add_argument("--differs", action="store_true", help="only columns of settings in which the runs differ")
    which = command.add_mutually_exclusive_group()
    which.add_argument("--finished", action="store_true", help="only runs that are finished")
    which.add_argument("--unfinished", action="store_true", help="only runs that are not, and are not damaged")
    command.add_argument("--remove", action="store_true", help="remove the runs that are listed, after asking")
    command.add_argument("--yes", action="store_true", help="remove without asking")


#: Folders that pages and figures are made of.
_FOLDERS = "folder of a run, a comparison, a search, a sweep, an evolution on a device or an adaptation"


def report(command: Command) -> None:
    command.add_argument("folder", metavar="FOLDER", help=_FOLDERS)
    command.add_argument("--out", metavar="FILE", help="the page (.html) [FOLDER/report.html]")


def rank(command: Command) -> None:
    command.add_argument(
        "folders",
        metavar="FOLDER",
        nargs="+",
        help="folders of comparisons on different data sets, of the same variants",
    )
    command.add_argument("--out", metavar="FOLDER", help="folder of the table and the figure [runs/TIME-rank]")


def redraw(command: Command) -> None:
    command.add_argument("folder", metavar="FOLDER", help=_FOLDERS)
    command.add_argument("--out", metavar="FILE", required=True, help="the figure (.png, .svg, .pdf)")
    command.add_argument(
        "--figure", choices=FIGURES,
        help="which one, where a folder has several: accuracy over epochs, or of a comparison the outcomes of its seeds"
        " [the first]",
    )  # fmt: skip
    command.add_argument("--title", metavar="TEXT", help="above it [as it was]")
    command.add_argument(
        "--labels", metavar="LIST", help="of its lines or rows, from the first, separated by semicolons [as they were]"
    )


def explore(command: Command) -> None:
    command.add_argument(
        "folder", metavar="FOLDER", nargs="?", default="runs", help="of runs and artifacts [%(default)s]"
    )
    command.add_argument("--port", type=int, default=5006, metavar="N", help="0 for one that is free [%(default)s]")
    command.add_argument("--no-browser", action="store_true", help="only say where the page is")
