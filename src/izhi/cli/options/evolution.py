"""Options of evolution."""

from __future__ import annotations

from izhi.cli.options.settings import add_settings, run_options
from izhi.cli.parser import Command
from izhi.experiments.settings.choices import DEVICE_SEARCHES, SEARCHES
from izhi.hardware.devices import DEVICES


def evolve(command: Command) -> None:
    command.add_argument(
        "artifact",
        metavar="FILE",
        nargs="?",
        help="an artifact (.izhi) whose weights evolve on a device [train a network from scratch]",
    )
    command.add_argument("--device", choices=DEVICES, help="of an artifact [emulator, or hls-ip for its artifacts]")
    command.add_argument("--folder", metavar="FOLDER", help="of an artifact: see izhi run")
    command.add_argument(
        "--layers", dest="evolving", metavar="LIST", help="of an artifact: which evolve, 1 for the first [all]"
    )
    command.add_argument("--fresh", action="store_true", help="of an artifact: draw its weights anew first")
    command.add_argument("--samples", type=int, metavar="N", help="of an artifact: training samples [all]")
    run_options(command)
    add_settings(command, without=("optimizer", "layers"))
    others = [name for name in DEVICE_SEARCHES if name not in SEARCHES]
    command.add_argument(
        "--optimizer", choices=(*SEARCHES, *others), help=f"search [snes]; {', '.join(others)} of an artifact alone"
    )
