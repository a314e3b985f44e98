"""Options of continual learning."""

from __future__ import annotations

from izhi.cli.options.settings import run_options
from izhi.cli.parser import Command
from izhi.experiments.settings.choices import ADAPTATION_METHODS, DEVICE_SEARCHES, USUAL_ADAPTATION as USUAL
from izhi.hardware.devices import DEVICES

#: Options: name, type, group and help.
NUMBERS = (
    ("samples", int, "stream", "largest number of samples in the stream"),
    ("batch", int, "stream", "samples of the stream between two updates"),
    ("replay", int, "stream", "samples of the old task in the rehearsal memory"),
    ("steps", int, "learning", "gradient steps or generations per update"),
    ("batch-size", int, "learning", "samples of a step or generation"),
    ("learning-rate", float, "learning", "learning rate of Adam (backprop)"),
    ("members", int, "learning", "population size (evolution)"),
    ("step-size", float, "learning", "initial spread of the population (evolution)"),
    ("every", int, "stream", "batches between two evaluations"),
    ("tested", int, "stream", "largest number of test samples per task and evaluation"),
    ("seed", int, "learning", "seed of stream, rehearsal memory and learning"),
)


def adapt(command: Command) -> None:
    command.add_argument("run_folder", metavar="RUN", help="run folder of a quantised network, or of one for the IP")
    command.add_argument(
        "--drift", required=True, metavar="KIND=AMOUNT",
        help="rotate=DEGREES, permute=SHARE, classes=NAME+NAME, speaker=NUMBER",
    )  # fmt: skip
    command.add_argument("--device", choices=DEVICES, help="device [emulator, or hls-ip for its networks]")
    command.add_argument("--folder", metavar="FOLDER", help="core of the device; see izhi run")
    run_options(command)
    learning = command.group("learning")
    learning.add_argument("--method", default=USUAL["method"], choices=ADAPTATION_METHODS, help="learning method")
    learning.add_argument(
        "--layers", type=int, default=USUAL["layers"], metavar="N",
        help="number of learning layers from the last, the readout included; 0 for all",
    )  # fmt: skip
    for name, kind, group, about in NUMBERS:
        default = USUAL[name.replace("-", "_")]
        metavar = "N" if kind is int else "X"
        command.group(group).add_argument(f"--{name}", type=kind, default=default, metavar=metavar, help=about)
    learning.add_argument(
        "--optimizer", default=USUAL["optimizer"], choices=DEVICE_SEARCHES, help="search method (evolution)"
    )
