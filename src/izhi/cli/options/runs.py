"""Options of the commands that train, compare, tune and evaluate networks."""

from __future__ import annotations

from izhi.cli.options.settings import add_setting, add_settings, jobs_options, run_options, samples_options
from izhi.cli.parser import Command
from izhi.experiments.settings import Mark, marked
from izhi.experiments.settings.choices import USUAL_SEARCH


def _variants_options(command: Command, neurons: str) -> None:
    command.add_argument("--neurons", metavar="LIST", help=neurons)
    command.add_argument(
        "--connections", metavar="LIST", help="kinds of connection, comma-separated [linear, or the file's]"
    )


def compare(command: Command) -> None:
    _variants_options(command, "variants neuron[:setting=value]…, comma-separated [the file's, or all three neurons]")
    command.add_argument("--seeds", metavar="LIST", help="seeds, comma-separated [0]")
    command.add_argument("--folds", action="store_true", help="five-fold cross-validation of an embedded data set")
    command.add_argument("--reference", metavar="LABEL", help="reference variant of the differences [the first]")
    run_options(command)
    jobs_options(command, "runs")
    add_settings(command, without=("neuron", "connection", "seed", "fold"))


def tune(command: Command) -> None:
    _variants_options(command, "variants as of izhi compare, each with the same number of trials")
    command.add_argument(
        "--search", metavar="LIST", help=f"ranges [neuron.]setting=low..high or =a|b, comma-separated [{USUAL_SEARCH}]"
    )
    command.add_argument("--every-speaker", action="store_true", help="cross-validation over speakers, by the mean")
    command.add_argument("--trials", type=int, metavar="N", help="trials of each variant [20]")
    command.add_argument(
        "--storage", metavar="FILE|URL", help="file that processes share, or database [studies.log in --out]"
    )
    run_options(command)
    jobs_options(command, "variants")
    add_settings(command, without=("neuron", "connection"))


def train(command: Command) -> None:
    command.add_argument("--start", metavar="RUN", help="float run with initial weights and settings [none]")
    run_options(command)
    add_settings(command)


def evaluate(command: Command) -> None:
    command.add_argument("folder", metavar="RUN", help="run folder, checkpoint or artifact (.izhi)")
    command.add_argument("--against", metavar="RUN", help="run of the artifact, for a comparison of every spike")
    command.add_argument(
        "--energy", action="store_true",
        help="operations, spikes, updates and memory reads of a run, with an estimate of their energy",
    )  # fmt: skip
    samples_options(command, "of an artifact: ")
    for name in marked(Mark.OF_EVALUATION):
        add_setting(command, name, "the run's", title="settings of a run")


def dynamics(command: Command) -> None:
    command.add_argument("folder", metavar="RUN", help="run folder, also of the figure dynamics.png")


def show(command: Command) -> None:
    command.add_argument("folder", metavar="RUN", help="run folder or checkpoint")
    command.add_argument("--sample", type=int, default=0, metavar="N", help="index of a test sample")
    command.add_argument("--layer", type=int, default=1, metavar="N", help="layer of the membrane potentials, from 1")
    command.add_argument(
        "--neurons", metavar="LIST", help="indices of neurons, comma-separated [the four with most spikes]"
    )
    command.group("output").add_argument("--out", metavar="FILE", help="figure (.png, .svg, .pdf) [RUN/sample-N.png]")
