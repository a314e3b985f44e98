"""Options of ``izhi simulate``."""

from __future__ import annotations

from izhi.cli.parser import Command
from izhi.spec import ORDERS


def simulate(command: Command) -> None:
    command.add_argument("neuron", nargs="?", default="biological", help="lif, a preset or a firing pattern")
    command.add_argument("--all", action="store_true", help="the twenty firing patterns on one sheet")
    for name, about in (
        ("current", "amplitude, mV/ms for biological presets"),
        ("start", "begin, ms [10]"),
        ("stop", "end, ms [the end]"),
        ("duration", "ms [200]"),
        ("dt", "step, ms"),
    ):
        default = 10.0 if name == "start" else None
        command.add_argument(f"--{name}", type=float, default=default, metavar="X", help=about)
    command.add_argument("--order", choices=tuple(ORDERS), help="event order")
    command.add_argument(
        "--set", metavar="LIST", help="parameters that differ: name=value, comma-separated, such as a=0.1,d=2 [none]"
    )
    command.add_argument("--out", metavar="FILE", help="figure (.png, .svg or .pdf)")
