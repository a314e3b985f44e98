"""``python -m izhi`` is ``izhi``."""

import sys
from typing import NoReturn

from izhi import processes


def start() -> int:
    """Run the command line; the exit status."""
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
