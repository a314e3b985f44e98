"""Options of the commands to and from other libraries and formats."""

from __future__ import annotations

from izhi.cli.options.settings import add_settings
from izhi.cli.parser import Command
from izhi.exchange.conventions import LIBRARIES


def nir(command: Command) -> None:
    command.add_argument(
        "action", choices=("export", "import", "check"),
        help="export of a float run to a file, import of a file as a run, check of a file's golden spikes",
    )  # fmt: skip
    command.add_argument("source", metavar="RUN|FILE", help="run to export, or file (.nir) to import or check")
    command.add_argument("target", metavar="FILE", nargs="?", help="exported file, or golden spikes to check")
    export, load = command.group("export"), command.group("import and check")
    export.add_argument(
        "--for", dest="library", choices=LIBRARIES, help="library that reads the file [NIR's equations]"
    )
    load.add_argument("--from", dest="library", choices=LIBRARIES, help="library that wrote the file [NIR's equations]")
    command.add_argument("--dt", type=float, metavar="S", help="time step, s [the file's, or the library's]")
    load.add_argument(
        "--after-spike", choices=("zero", "subtract"), help="reset, where the file has none [v_reset, as in NIR]"
    )
    export.add_argument(
        "--single-spike", action="store_true", help="sinabs and rockpool: neurons with one spike a step (docs/nir.md)"
    )
    export.add_argument("--samples", type=int, default=4, metavar="N", help="test samples of the golden spikes")
    load.add_argument("--config", metavar="FILE", help="TOML file of settings")
    command.group("output").add_argument("--out", metavar="FOLDER", help="imported run folder [runs/TIME-NAME]")
    add_settings(command, without=("hidden", "layers", "neuron", "connection", "order", "gain", "beta", "reset"))
