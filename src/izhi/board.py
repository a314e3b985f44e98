"""Devices that run an artifact: what ``izhi.hardware.devices`` holds, and ``python -m izhi.board``."""

from izhi.hardware.devices import *  # noqa: F403

if __name__ == "__main__":
    import sys

    from izhi.hardware.devices.__main__ import main

    sys.exit(main())
