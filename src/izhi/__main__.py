"""``python -m izhi`` is ``izhi``."""

import sys


def start() -> int:
    """Run the command line; the exit status."""
    try:
        from izhi.cli import main

        return main()
    except KeyboardInterrupt:  # before the command was read, or for a second time
        print("izhi: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(start())
