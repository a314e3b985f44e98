"""Runs commands in the test's process, and checks that they succeed with sound numbers or refuse in one line."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest

from izhi import __main__
from izhi.errors import SlowKernelWarning

#: A number that no report may hold: none of them counts as much, and none is not finite.
NONSENSE = re.compile(r"(?<![\w.])(?:nan|inf)(?![\w.])|\d{1,3}(?:,\d{3}){5,}")


def _print_warning(message: Warning | str, *_: object) -> None:
    sys.stderr.write(warnings.formatwarning(message, UserWarning, "", 0))


def izhi(*words: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, as the program does: its exit status, standard output and standard error."""
    command = ["izhi", *map(str, words)]
    out, error = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr(sys, "argv", command)
        patch.setattr(warnings, "formatwarning", warnings.formatwarning)  # the program sets its own
        patch.setattr(warnings, "showwarning", _print_warning)
        warnings.simplefilter("default")
        if cwd is not None:
            patch.chdir(cwd)
        for name, value in environment.items():
            patch.setenv(name, value)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            try:
                status = __main__.start()
            except SystemExit as end:  # after --help or --version
                status = end.code
    return subprocess.CompletedProcess(command, int(status or 0), out.getvalue(), error.getvalue())


@dataclass(frozen=True)
class Answer:
    """Output of a command, and its exit status."""

    command: str
    status: int
    out: str
    error: str

    @property
    def refusal(self) -> str | None:
        """The line with which it refused; None if it succeeded."""
        return self.error if self.status else None


def run(*words: object) -> Answer:
    """Run a command; it must succeed with finite numbers, or print one line and exit with status 2."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SlowKernelWarning)
        done = izhi(*words)
    answer = Answer(" ".join(done.args), done.returncode, done.stdout, done.stderr)
    assert answer.status in (0, 2), answer
    if answer.status:
        lines = [line for line in answer.error.splitlines() if line.startswith("izhi: ")]
        assert len(lines) == 1, answer
        assert "Traceback" not in answer.error, answer
        answer = Answer(answer.command, answer.status, answer.out, lines[0])
    assert not NONSENSE.search(answer.out), answer
    return answer


def succeed(*words: object) -> Answer:
    """Run a command, which must succeed."""
    answer = run(*words)
    assert answer.refusal is None, answer
    return answer
