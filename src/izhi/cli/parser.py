"""The parser of the command line. It imports no code of the commands: torch takes seconds."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn

from izhi import processes, trust
from izhi.cli.commands import COMMANDS, STAGES, Entry
from izhi.deprecation import warn_renamed
from izhi.errors import SettingError, shown, unknown
from izhi.version import __version__

#: Metavars of numbers.
_TYPES: Mapping[str, type] = {"N": int, "MHZ": int, "X": float, "S": float}
DESCRIPTION = "Spiking networks of Izhikevich neurons: train, compare with LIF, take to hardware."


class Formatter(argparse.HelpFormatter):
    """Help that shows switches without their optional value."""

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        return "" if action.const == "true" else super()._format_args(action, default_metavar)


class Parser(argparse.ArgumentParser):
    """argparse with errors of one line, which name the nearest known word."""

    def __init__(self, **others: Any) -> None:
        super().__init__(**others, allow_abbrev=False, add_help=False, formatter_class=Formatter)
        self.add_argument("-h", "--help", action="help", help="short help")

    def error(self, message: str) -> NoReturn:
        raise SettingError(f"{message}; see {self.prog} --help")

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse hides the error of a closed output.
        (file or sys.stdout).write(message)

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is not None and value not in action.choices:
            raise unknown(action.dest, value, [str(x) for x in action.choices])

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse does, but an unknown option raises SettingError with the nearest one."""
        parsed, rest = super().parse_known_args(args, namespace)
        for word in rest:
            if word.startswith("-"):
                name = word.partition("=")[0]
                near = difflib.get_close_matches(name, self._option_string_actions, n=1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                self.error(f"there is no option {shown(name)[1:-1]}{hint}")
        if getattr(parsed, "command", "") is None:
            self.error("the following arguments are required: COMMAND")
        return parsed, rest


class Program(Parser):
    """The command line without its command."""

    def format_help(self) -> str:
        """The commands, grouped by stage."""
        formatter = Formatter(self.prog)
        formatter.add_usage("%(prog)s COMMAND [options]", (), ())
        formatter.add_text(self.description)
        for stage, entries in STAGES.items():
            formatter.start_section(stage)
            formatter.add_arguments([argparse.Action([], name, help=entry.about) for name, entry in entries.items()])
            formatter.end_section()
        formatter.start_section("options")
        formatter.add_arguments([x for x in self._actions if x.option_strings])
        formatter.end_section()
        return formatter.format_help() + "\noptions of a command: izhi COMMAND --help\n"


class _HelpAll(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        assert isinstance(parser, Command)
        parser._print_message(parser.format_help(everything=True))
        parser.exit()


class Command(Parser):
    """A sub-command. Its options are added when it is chosen, and its code is loaded when it runs.

    Attributes:
        rare: options of ``--help-all`` alone.
        renamed: old names of options → their names.
    """

    def __init__(self, *, entry: Entry | None = None, **others: Any) -> None:
        self._entry = entry or Entry()
        super().__init__(**others, description=self._entry.about)
        self._place = self._entry.place
        self.rare: set[argparse.Action] = set()
        self.renamed: dict[str, str] = {}
        self.add_argument("--help-all", action=_HelpAll, nargs=0, default=argparse.SUPPRESS, help="every option")

    def group(self, title: str, about: str | None = None) -> argparse._ArgumentGroup:
        """The group of options of that title; ``about`` is a line below the title in ``--help-all``."""
        named = [x for x in self._action_groups if x.title == title]
        return named[0] if named else self.add_argument_group(title, about)

    def option(
        self, name: str, values: str | Iterable[str] | None, about: str, group: str | None = None, **others: Any
    ) -> None:
        """Add an option or an argument.

        Args:
            values: its choices; or its metavar, which gives numbers their type; None for a switch.
        """
        if isinstance(values, str):
            others |= {"metavar": values, "type": _TYPES.get(values)}
        elif values is not None:
            others["choices"] = values
        elif name.startswith("-"):
            others["action"] = "store_true"
        (self.group(group) if group else self).add_argument(name, help=about, **others)

    def exclusive(self, group: str, **switches: str) -> None:
        """Add switches, each with its help, of which at most one may be given."""
        exclusive = self.group(group).add_mutually_exclusive_group()
        for name, about in switches.items():
            exclusive.add_argument(f"--{name}", action="store_true", help=about)

    def build(self) -> Command:
        """Add the options, once."""
        if self._place:
            self.set_defaults(place=self._place)
            name = self._place.partition(".")[2]
            self._place = ""
            getattr(import_module("izhi.cli.options"), name)(self)
            self.option("--json", "FILE", "result for scripts; - for standard output", "output")
            for action in self._actions:
                has_default = action.default not in (None, argparse.SUPPRESS) and action.nargs != 0
                if has_default and "[" not in (action.help or "["):
                    action.help = f"{action.help} [%(default)s]"
        return self

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Add the options first, and replace old names of options."""
        self.build()
        words = None if args is None else [self._present(word, args) for word in args]
        return super().parse_known_args(words, namespace)

    def _present(self, word: str, args: Sequence[str]) -> str:
        name, equals, value = word.partition("=")
        if name not in self.renamed:
            return word
        new = self.renamed[name]
        if new in (other.partition("=")[0] for other in args):
            raise SettingError(f"{name} is given beside {new}, its new name; leave {name} out")
        warn_renamed(name, new)
        return f"{new}{equals}{value}"

    def format_help(self, *, everything: bool = False) -> str:
        """The arguments, the options in their groups, and examples."""
        self.build()
        formatter = Formatter(f"{self.prog} [options]")
        formatter.add_usage(None, [x for x in self._actions if x.required or not x.option_strings], ())
        formatter.add_text(self.description)
        for group in self._action_groups:
            listed = [x for x in group._group_actions if everything or x not in self.rare]
            if listed:
                formatter.start_section("arguments" if group is self._positionals else group.title)
                formatter.add_text(group.description if everything else None)
                formatter.add_arguments(listed)
                formatter.end_section()
        text = "\n  ".join([f"{formatter.format_help()}\nexamples:", *self._entry.examples.splitlines()]) + "\n"
        return text if everything else re.sub(r"(?m)^( .*\n)\n(?=\S.*:\n  -)", r"\1", text)  # no lines between groups


def parser(*, whole: bool = False) -> Parser:
    """The command line; ``whole`` with the options of every command, which otherwise adds its own when it is chosen."""
    program = Program(prog="izhi", description=DESCRIPTION)
    program.add_argument("--version", action="version", version=f"izhi {__version__}", help="version of Izhi")
    commands = program.add_subparsers(dest="command", metavar="COMMAND", parser_class=Command)
    for name, entry in COMMANDS.items():
        command: Command = commands.add_parser(name, help=entry.about, entry=entry)
        if whole:
            command.build()
    return program


def run(arguments: argparse.Namespace) -> None:
    """Load the code of the chosen command, and run it."""
    if getattr(arguments, "resume", False) and not arguments.out:
        raise SettingError("--resume needs the folder of the runs; add --out FOLDER")
    trust.trust(*(getattr(arguments, name, None) for name in ("dataset", "neuron", "neurons")))
    check = getattr(arguments, "check", None)
    if check is not None:
        check(arguments)
    module, _, name = str(arguments.place).partition(".")
    getattr(processes.load(f"izhi.cli.{module}"), name)(arguments)
