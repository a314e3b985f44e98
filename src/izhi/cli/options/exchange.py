"""Options of the commands to and from other libraries and formats."""

from __future__ import annotations

from izhi.cli.options.settings import add_settings
from izhi.cli.parser import Command
from izhi.exchange.conventions import LIBRARIES


def nir(command: Command) -> None:
    command.add_argument(
        "action", choices=("export", "import", "check"),
        help="export: write a float run as NIR; import: make a run of a file; check: run a file's golden spikes",
    )  # fmt: skip
    command.add_argument("source", metavar="RUN|FILE", help="of export the run, else the file (.nir)")
    command.add_argument("target", metavar="FILE", nargs="?", help="of export the file; of check the golden spikes")
    command.add_argument(
        "--for", dest="library", choices=LIBRARIES,
        help="export: the library that is to read it, by whose conventions spikes are the same [NIR's equations]",
    )  # fmt: skip
    command.add_argument(
        "--from", dest="library", choices=LIBRARIES, help="import, check: the library that wrote it [NIR's equations]"
    )
    command.add_argument("--dt", type=float, metavar="S", help="seconds of a step [the file's, or the library's]")
    command.add_argument(
        "--after-spike", choices=("zero", "subtract"),
        help="import, check: what neurons do where the file does not say [v_reset, as NIR has it]",
    )  # fmt: skip
    command.add_argument(
        "--single-spike", action="store_true",
        help="export to sinabs and rockpool: you make their neurons fire once in a step (see docs/nir.md)",
    )  # fmt: skip
    command.add_argument(
        "--samples", type=int, default=4, metavar="N", help="export: test samples of the golden spikes [%(default)s]"
    )
    command.add_argument("--config", metavar="FILE", help="import: TOML file of settings")
    command.add_argument("--out", metavar="FOLDER", help="import: the run folder [runs/TIME-NAME]")
    add_settings(command, without=("hidden", "layers", "neuron", "connection", "order", "gain", "beta", "reset"))
