"""``python -m izhi`` is ``izhi``."""

import sys
import warnings
from typing import NoReturn

from izhi import processes


def _in_one_line(message: Warning | str, *_: object) -> str:
    """A warning without the line of code that gave it."""
    return f"warning: {' '.join(str(message).split())}\n"


def start() -> int:
    """Run the command line; the exit status."""
    warnings.formatwarning = _in_one_line  # type: ignore[assignment]
    try:
        from izhi.cli import main

        return main()
    except KeyboardInterrupt:  # before the command was read, or for a second time
        print("izhi: interrupted", file=sys.stderr)
        return 130


def program() -> NoReturn:
    """As ``start``, and the end of the process."""
    processes.end(start())


if __name__ == "__main__":
    program()
