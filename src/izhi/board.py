"""Devices that run an artifact: what ``izhi.hardware.devices`` holds, and ``python -m izhi.board``."""

from izhi.deprecation import renamed_names as _renamed_names
from izhi.hardware.devices import *  # noqa: F403
from izhi.hardware.devices import __all__ as __all__

__getattr__ = _renamed_names(__name__, {"Evaluation": "DeviceEvaluation"})
__dir__ = __all__.copy

if __name__ == "__main__":
    import sys

    from izhi.hardware.devices.__main__ import main

    sys.exit(main())
