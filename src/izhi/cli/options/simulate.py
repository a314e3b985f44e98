"""Options of ``izhi simulate``."""

from __future__ import annotations

from izhi.cli.parser import Command
from izhi.spec import ORDERS


def simulate(command: Command) -> None:
    command.add_argument("neuron", nargs="?", default="biological", help="lif, a preset or a firing pattern")
    command.add_argument("--all", action="store_true", help="one sheet of the twenty firing patterns")
    stimulus = command.group("stimulus")
    for name, default, about in (
        ("current", None, "amplitude, mV/ms for biological presets [10, or 0.1]"),
        ("start", 10.0, "start of the current, ms"),
        ("stop", None, "stop of the current, ms [the duration]"),
        ("duration", None, "duration, ms [200]"),
        ("dt", None, "time step, ms [the preset's]"),
    ):
        stimulus.add_argument(f"--{name}", type=float, default=default, metavar="X", help=about)
    neuron = command.group("neuron")
    neuron.add_argument("--order", choices=tuple(ORDERS), help="order of the events of a step [the preset's]")
    neuron.add_argument(
        "--set", metavar="LIST", help="parameters name=value, comma-separated, such as a=0.1,d=2 [none]"
    )
    command.group("output").add_argument("--out", metavar="FILE", help="figure (.png, .svg, .pdf) [NEURON.png]")
