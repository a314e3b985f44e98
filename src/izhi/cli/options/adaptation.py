"""Options of continual learning."""

from __future__ import annotations

from izhi.cli.options.settings import run_options
from izhi.cli.parser import Command
from izhi.experiments.settings.choices import ADAPTATION_METHODS, DEVICE_SEARCHES, USUAL_ADAPTATION as USUAL
from izhi.hardware.devices import DEVICES

#: Options: name, type, and what they are.
NUMBERS = (
    ("samples", int, "most samples of the stream"),
    ("batch", int, "samples of the stream that arrive between two updates"),
    ("replay", int, "samples of the old task kept for rehearsal"),
    ("steps", int, "gradient steps, or generations, of each update"),
    ("batch-size", int, "samples of a step, or of a generation"),
    ("learning-rate", float, "of backpropagation, by Adam"),
    ("members", int, "population size of evolution"),
    ("step-size", float, "initial spread of the population of evolution"),
    ("every", int, "evaluate every N batches"),
    ("tested", int, "most test samples of each task in an evaluation"),
    ("seed", int, "of stream, rehearsal memory and learning"),
)


def adapt(command: Command) -> None:
    command.add_argument("run_folder", metavar="RUN", help="run folder of a quantised network, or of one of the IP")
    command.add_argument(
        "--drift",
        required=True,
        metavar="KIND=AMOUNT",
        help="rotate=DEGREES, permute=SHARE, classes=NAME+NAME, speaker=NUMBER",
    )
    command.add_argument("--method", default=USUAL["method"], choices=ADAPTATION_METHODS, help="[%(default)s]")
    command.add_argument("--device", choices=DEVICES, help="[emulator, or hls-ip for its networks]")
    command.add_argument("--folder", metavar="FOLDER", help="see izhi run")
    command.add_argument(
        "--layers",
        type=int,
        default=USUAL["layers"],
        metavar="N",
        help="how many of the last layers learn, the readout counted as one; 0 for all [%(default)s]",
    )
    for name, kind, about in NUMBERS:
        default = USUAL[name.replace("-", "_")]
        metavar = "N" if kind is int else "X"
        command.add_argument(f"--{name}", type=kind, default=default, metavar=metavar, help=f"{about} [%(default)s]")
    command.add_argument(
        "--optimizer", default=USUAL["optimizer"], choices=DEVICE_SEARCHES, help="search of evolution [%(default)s]"
    )
    run_options(command)
