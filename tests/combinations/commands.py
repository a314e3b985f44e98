"""Commands in this process, and what each of them must do: succeed with sound numbers, or refuse in one line."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from dataclasses import dataclass

from izhi import cli
from izhi.errors import SlowKernelWarning

#: A number that no report may hold: none of them counts as much, and none is not finite.
NONSENSE = re.compile(r"(?<![\w.])(?:nan|inf)(?![\w.])|\d{1,3}(?:,\d{3}){5,}")


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit status."""

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
    command = [str(word) for word in words]
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error), warnings.catch_warnings():
        warnings.simplefilter("ignore", SlowKernelWarning)
        status = cli.main(command)
    answer = Answer(" ".join(["izhi", *command]), status, out.getvalue(), error.getvalue())
    assert status in (0, 2), answer
    if status:
        lines = [line for line in answer.error.splitlines() if line.startswith("izhi: ")]
        assert len(lines) == 1, answer
        assert "Traceback" not in answer.error, answer
        answer = Answer(answer.command, status, answer.out, lines[0])
    assert not NONSENSE.search(answer.out), answer
    return answer


def succeed(*words: object) -> Answer:
    """Run a command, which must succeed."""
    answer = run(*words)
    assert answer.refusal is None, answer
    return answer
