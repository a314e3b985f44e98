"""What can be asked on the command line. Nothing is loaded that answers: torch takes seconds."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from izhi import processes
from izhi.data import functions
from izhi.errors import SettingError, shown, unknown
from izhi.version import __version__

DESCRIPTION = "Spiking networks of Izhikevich neurons: train, compare with LIF, take to hardware."

#: Command → where it is below izhi.cli, its options at the same place below izhi.cli.options; what it does.
COMMANDS = {
    "compare": ("runs.compare", "train several neurons or connections and compare them"),
    "tune": ("runs.tune", "search hyperparameters on validation samples, by Optuna"),
    "study": ("studies.study", "several tasks by one protocol: searches, seeds, ranks; goes on with what is missing"),
    "train": ("runs.train", "train one network"),
    "runs": ("folders.runs", "list the runs in a folder, choose among them, remove some"),
    "redraw": ("folders.redraw", "draw a figure of a finished command again, from the numbers in its folder"),
    "rank": ("folders.rank", "rank the variants of several finished comparisons over their data sets, with tests"),
    "report": ("folders.report", "the folder of a finished command as one page of HTML that can be mailed"),
    "explore": ("folders.explore", "neurons, runs and devices in the browser, on this machine alone"),
    "evaluate": ("runs.evaluate", "test accuracy of a trained network"),
    "dynamics": ("runs.dynamics", "neurons of a trained network: coefficients, firing classes"),
    "show": ("runs.show", "a test sample on its way through a trained network: spikes, membranes, answer"),
    "evolve": ("evolution.evolve", "train by evolution: a network, or the weights of an artifact on a device"),
    "adapt": ("adaptation.adapt", "continual learning of a deployed network under drift"),
    "quantize": ("hardware.quantize", "quantise a trained network's weights and states"),
    "export": ("hardware.export_run", "write a run's artifact for hardware"),
    "run": ("hardware.run", "run test samples on a device: emulator, simulated core, board, FPGA IP"),
    "trace": ("hardware.trace", "states and spikes of an artifact's neurons for one test sample"),
    "rtl": ("hardware.rtl", "Verilog and Vivado script of the core for a board, with a report"),
    "nir": (
        "exchange.nir",
        "to and from other libraries by files of NIR: export a run, import a network, check spikes",
    ),
    "simulate": ("simulate.simulate", "draw v, u and spikes of one neuron under a current"),
    "bench": ("bench.bench", "time a training step against other libraries"),
    "data": ("data.data_sets", "list, fetch and verify data sets"),
    "completion": ("completion.completion", "a script by which a shell completes this command's options"),
}


class Parser(argparse.ArgumentParser):
    """argparse with errors of one line, which name the nearest word for one that is unknown."""

    def error(self, message: str) -> NoReturn:
        raise SettingError(f"{message}; see {self.prog} --help")

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse keeps it to itself if nobody can read the help.
        (file or sys.stdout).write(message)

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is not None and value not in action.choices:
            raise unknown(action.dest, value, [str(x) for x in action.choices])

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse does, but an option that is none is refused here, with the nearest one."""
        found, rest = super().parse_known_args(args, namespace)
        for word in rest:
            if word.startswith("-"):
                name = word.partition("=")[0]
                near = difflib.get_close_matches(name, self._option_string_actions, n=1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                self.error(f"there is no option {shown(name)[1:-1]}{hint}")
        if getattr(found, "command", "") is None:
            self.error("the following arguments are required: COMMAND")
        return found, rest


class Command(Parser):
    """A sub-command. Its options are added when it is chosen, and its code is loaded when it runs."""

    def __init__(self, *, place: str = "", **others: Any) -> None:
        super().__init__(**others, allow_abbrev=False)
        self._place = place

    def build(self) -> Command:
        """Add the options, if they are not there yet."""
        if self._place:
            module, _, name = self._place.partition(".")
            self.set_defaults(place=self._place)
            self._place = ""
            getattr(import_module(f"izhi.cli.options.{module}"), name)(self)
            self.add_argument("--json", metavar="FILE", help="write the result for scripts; - for standard output")
        return self

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Add the options first."""
        self.build()
        return super().parse_known_args(args, namespace)


def parser(*, whole: bool = False) -> Parser:
    """The command line.

    Args:
        whole: with the options of every command, which are else added when it is chosen.
    """
    top = Parser(prog="izhi", description=DESCRIPTION, allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"izhi {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=Command)
    for name, (place, about) in COMMANDS.items():
        command: Command = commands.add_parser(name, help=about, description=about, place=place)
        if whole:
            command.build()
    return top


def run(arguments: argparse.Namespace) -> None:
    """Load the code of the chosen command, and run it."""
    if getattr(arguments, "resume", False) and not arguments.out:
        raise SettingError("resume is set, but no folder is named whose runs go on; add --out FOLDER")
    if getattr(arguments, "dataset", None):
        functions.trust(arguments.dataset)
    check = getattr(arguments, "check", None)
    if check is not None:
        check(arguments)
    module, _, name = str(arguments.place).partition(".")
    getattr(processes.load(f"izhi.cli.{module}"), name)(arguments)
