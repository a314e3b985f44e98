"""Options of evolution."""

from __future__ import annotations

from izhi.cli.options.settings import add_settings, run_options
from izhi.cli.parser import Command
from izhi.experiments.settings import Mark
from izhi.experiments.settings.choices import DEVICE_SEARCHES, SEARCHES
from izhi.hardware.devices import DEVICES


def evolve(command: Command) -> None:
    command.add_argument(
        "artifact",
        metavar="FILE",
        nargs="?",
        help="artifact (.izhi) with weights to evolve on a device [none: a network]",
    )
    others = [name for name in DEVICE_SEARCHES if name not in SEARCHES]
    command.add_argument(
        "--optimizer",
        choices=(*SEARCHES, *others),
        help=f"search method; {', '.join(others)} for artifacts only [snes]",
    )
    run_options(command)
    group = command.group("artifacts")
    group.add_argument("--device", choices=DEVICES, help="device [emulator, or hls-ip for its artifacts]")
    group.add_argument("--folder", metavar="FOLDER", help="core of the device; see izhi run")
    group.add_argument("--layers", dest="evolving", metavar="LIST", help="layers to evolve, from 1 [all]")
    group.add_argument("--fresh", action="store_true", help="new random weights")
    group.add_argument("--samples", type=int, metavar="N", help="number of training samples [all]")
    add_settings(command, without=("optimizer", "layers"), common=Mark.COMMON | Mark.ON_DEVICE)
