"""The command line: one sub-command per stage. Exit status 0 done, 2 bad usage or input, 1 a bug."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence

from izhi.cli import evolution, hardware, runs, tools
from izhi.cli.common import Commands, Parser
from izhi.errors import IzhiError
from izhi.version import __version__

DESCRIPTION = "Spiking networks of Izhikevich neurons: train, compare with LIF, take to hardware."


def parser() -> Parser:
    """The whole command line."""
    top = Parser(prog="izhi", description=DESCRIPTION)
    top.add_argument("--version", action="version", version=f"izhi {__version__}")
    commands = Commands(top)
    runs.add(commands)
    evolution.add(commands)
    hardware.add(commands)
    tools.add(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning_fabric")
    try:
        parsed = parser().parse_args(arguments)
        parsed.run(parsed)
    except IzhiError as error:
        print(f"izhi: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except OSError as error:  # a full or read-only disk, wherever it is met first
        name = f" {error.filename}" if error.filename else ""
        print(f"izhi: cannot write{name}: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("izhi: interrupted; go on with --resume", file=sys.stderr)
        return 130
    return 0
