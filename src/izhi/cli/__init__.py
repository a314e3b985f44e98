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

#: Exit status of a program whose reader, such as head, has ended.
_BROKEN_PIPE = 141
_INTERRUPTED = 130


def _refuse(reason: str) -> int:
    """Print an error of one line; the exit status."""
    print(f"izhi: {' '.join(reason.split())}", file=sys.stderr)
    return 2


def _flush() -> int:
    """Write buffered output; the exit status."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Otherwise Python tries again at exit, and prints a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return _BROKEN_PIPE
        return _refuse(f"cannot write standard output: {files.problem(error)}")
    return 0


def _interrupted(words: Sequence[str], parsed: argparse.Namespace | None) -> int:
    """Print how to resume the command, if it has a folder; the exit status."""
    out, is_study = getattr(parsed, "out", None), getattr(parsed, "command", None) == "study"
    if not (out and (is_study or hasattr(parsed, "resume")) and files.is_in_use(Path(out))):
        print("izhi: interrupted; nothing was kept", file=sys.stderr)
        return _INTERRUPTED
    again = [*words, *(() if "--out" in words else ("--out", out))]
    again += () if "--resume" in words or is_study else ("--resume",)  # a study always resumes its folder
    print(f"izhi: interrupted; resume with: {shlex.join(['izhi', *again])}", file=sys.stderr)
    return _INTERRUPTED


def quieten() -> None:
    """Hide lines of libraries, and warnings that the report of each epoch repeats."""
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning_fabric")
    warnings.filterwarnings("ignore", category=SilentLayerWarning)


def _yield_processors() -> None:
    """Let torch's threads wait for each other some microseconds, then sleep; before torch is imported.

    Where another program takes a processor, threads that only wait would take the rest of it: a training step of
    784-512-10 took 157 ms beside one, 12 ms so, and alone 10.7 ms in either way (two threads, AMD EPYC).
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "30000")


@with_room
def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    quieten()
    _yield_processors()
    words = list(sys.argv[1:] if arguments is None else arguments)
    parsed = None
    try:
        parsed = parser.parser().parse_args(words)
        with contextlib.ExitStack() as stack:
            if parsed.json == "-":
                # Standard output is for the result alone, standard error for all else.
                parsed.json = sys.stdout
                stack.enter_context(contextlib.redirect_stdout(sys.stderr))
            parser.run(parsed)
    except IzhiError as error:
        return _refuse(str(error))
    except BrokenPipeError:
        return _flush() or _BROKEN_PIPE
    except OSError as error:  # of reads and writes without an error of their own
        name = f"{error.filename}: " if error.filename else ""
        return _flush() or _refuse(name + files.problem(error))
    except KeyboardInterrupt:
        return _interrupted(words, parsed)
    except SystemExit:  # after --help or --version
        if status := _flush():
            return status
        raise
    return _flush()
