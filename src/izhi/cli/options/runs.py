"""Options of the commands that train, compare, tune and evaluate networks."""

from __future__ import annotations

from izhi.cli.options.settings import add_setting, add_settings, jobs_options, run_options, samples_options
from izhi.cli.parser import Command
from izhi.experiments.settings import Mark, marked
from izhi.experiments.settings.choices import USUAL_SEARCH

_CONNECTIONS = "kinds of connection, comma-separated [linear, or the file's]"


def compare(command: Command) -> None:
    command.add_argument(
        "--neurons", metavar="LIST", help="neuron[:setting=value]…, comma-separated [the file's variants, or all three]"
    )
    command.add_argument("--connections", metavar="LIST", help=_CONNECTIONS)
    command.add_argument("--seeds", metavar="LIST", help="comma-separated [0]")
    command.add_argument(
        "--folds", action="store_true", help="five-fold cross-validation of an embedded data set, for each seed"
    )
    command.add_argument(
        "--reference", metavar="LABEL", help="the variant that the report sets the others against [the first]"
    )
    jobs_options(command, "runs")
    run_options(command)
    add_settings(command, without=("neuron", "connection", "seed", "fold"))


def tune(command: Command) -> None:
    command.add_argument("--neurons", metavar="LIST", help="variants as in compare, each with the same budget")
    command.add_argument("--connections", metavar="LIST", help=_CONNECTIONS)
    command.add_argument(
        "--search", metavar="LIST", help=f"[neuron.]setting=low..high or =a|b, comma-separated [{USUAL_SEARCH}]"
    )
    command.add_argument(
        "--every-speaker",
        action="store_true",
        help="cross-validate over speakers: hold out each in turn, and judge by the mean",
    )
    command.add_argument("--trials", type=int, metavar="N", help="trials of each variant [20]")
    command.add_argument(
        "--storage",
        metavar="PLACE",
        help="a file that processes share, or the URL of a database [studies.log in --out]",
    )
    jobs_options(command, "variants")
    run_options(command)
    add_settings(command, without=("neuron", "connection"))


def train(command: Command) -> None:
    command.add_argument(
        "--start", metavar="RUN", help="begin with the weights and settings of a float run [drawn weights]"
    )
    run_options(command)
    add_settings(command)


def evaluate(command: Command) -> None:
    command.add_argument("folder", metavar="RUN", help="run folder, checkpoint or artifact (.izhi)")
    command.add_argument(
        "--against", metavar="RUN", help="compare an artifact with the run it came from, on every spike"
    )
    command.add_argument(
        "--energy", action="store_true",
        help="also count synaptic operations, spikes, updates and memory reads of a run, and estimate their energy",
    )  # fmt: skip
    samples_options(command, "of an artifact: ")
    for name in marked(Mark.OF_EVALUATION):
        add_setting(command, name)


def dynamics(command: Command) -> None:
    command.add_argument("folder", metavar="RUN", help="run folder; dynamics.png is written into it")


def show(command: Command) -> None:
    command.add_argument("folder", metavar="RUN", help="run folder or checkpoint")
    command.add_argument("--sample", type=int, default=0, metavar="N", help="number of a test sample [0]")
    command.add_argument("--layer", type=int, default=1, metavar="N", help="whose membranes are drawn, from 1 [1]")
    command.add_argument("--neurons", metavar="LIST", help="whose membranes are drawn [the four that fire most]")
    command.add_argument("--out", metavar="FILE", help="the figure (.png, .svg, .pdf) [RUN/sample-N.png]")
