"""Devices that run an artifact: what ``izhi.hardware.devices`` holds, and ``python -m izhi.board``."""

from izhi.deprecation import renamed_names
from izhi.hardware.devices import *  # noqa: F403

__getattr__ = renamed_names(__name__, {"Evaluation": "DeviceEvaluation"})

if __name__ == "__main__":
    import sys

    from izhi.hardware.devices.__main__ import main

    sys.exit(main())
