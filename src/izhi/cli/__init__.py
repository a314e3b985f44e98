"""The command line: one sub-command per stage. Exit status 0 done, 2 bad usage or input, 1 a bug."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence

from izhi import files
from izhi.cli import adaptation, evolution, hardware, runs, tools
from izhi.cli.common import Commands, Parser
from izhi.errors import IzhiError, SilentLayerWarning
from izhi.version import __version__

DESCRIPTION = "Spiking networks of Izhikevich neurons: train, compare with LIF, take to hardware."
#: As shells have it for a program whose output goes to one that has ended, such as head.
_NOBODY_READS = 141


def parser() -> Parser:
    """The whole command line."""
    top = Parser(prog="izhi", description=DESCRIPTION)
    top.add_argument("--version", action="version", version=f"izhi {__version__}")
    commands = Commands(top)
    runs.add(commands)
    evolution.add(commands)
    adaptation.add(commands)
    hardware.add(commands)
    tools.add(commands)
    return top


def _refuse(reason: str) -> int:
    """Say in one line what the user can put right; the exit status."""
    print(f"izhi: {' '.join(reason.split())}", file=sys.stderr)
    return 2


def _flush() -> int:
    """Print what is still to be printed; the exit status."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python would try once more when it ends, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return _NOBODY_READS
        return _refuse(f"cannot write standard output: {files.problem(error)}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning_fabric")
    warnings.filterwarnings("ignore", category=SilentLayerWarning)  # each epoch's report says it
    try:
        parsed = parser().parse_args(arguments)
        parsed.run(parsed)
    except IzhiError as error:
        return _refuse(str(error))
    except BrokenPipeError:
        return _flush() or _NOBODY_READS
    except OSError as error:  # what no place that reads or writes has named
        name = f"{error.filename}: " if error.filename else ""
        return _flush() or _refuse(name + files.problem(error))
    except KeyboardInterrupt:
        print("izhi: interrupted; go on with --resume", file=sys.stderr)
        return 130
    return _flush()
