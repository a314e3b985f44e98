"""The command line: one sub-command per stage. Exit status 0 done, 2 bad usage or input, 1 a bug."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from izhi import files
from izhi.calls import with_room
from izhi.cli import parser
from izhi.errors import IzhiError, SilentLayerWarning

#: As shells have it for a program whose output goes to one that has ended, such as head.
_NOBODY_READS = 141
_INTERRUPTED = 130


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


def _interrupted(words: Sequence[str], parsed: argparse.Namespace | None) -> int:
    """Say how the command goes on, if anything of it is kept; the exit status."""
    out = getattr(parsed, "out", None)
    if not (out and hasattr(parsed, "resume") and files.is_in_use(Path(out))):
        print("izhi: interrupted; nothing was kept", file=sys.stderr)
        return _INTERRUPTED
    again = [*words, *(() if "--out" in words else ("--out", out)), *(() if "--resume" in words else ("--resume",))]
    print(f"izhi: interrupted; go on with: {shlex.join(['izhi', *again])}", file=sys.stderr)
    return _INTERRUPTED


def quieten() -> None:
    """Keep from the terminal what libraries say there, and what Izhi's own reports say."""
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning_fabric")
    warnings.filterwarnings("ignore", category=SilentLayerWarning)  # each epoch's report says it


@with_room
def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    quieten()
    words = list(sys.argv[1:] if arguments is None else arguments)
    parsed = None
    try:
        parsed = parser.parser().parse_args(words)
        with contextlib.ExitStack() as stack:
            if parsed.json == "-":
                # The result alone goes to standard output; what is for people goes beside it.
                parsed.json = sys.stdout
                stack.enter_context(contextlib.redirect_stdout(sys.stderr))
            parser.run(parsed)
    except IzhiError as error:
        return _refuse(str(error))
    except BrokenPipeError:
        return _flush() or _NOBODY_READS
    except OSError as error:  # what no place that reads or writes has named
        name = f"{error.filename}: " if error.filename else ""
        return _flush() or _refuse(name + files.problem(error))
    except KeyboardInterrupt:
        return _interrupted(words, parsed)
    except SystemExit:  # after --help or --version
        if status := _flush():
            return status
        raise
    return _flush()
