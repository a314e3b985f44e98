"""The existing FPGA IP and its artifacts: what ``izhi.hardware.ip`` holds."""

from izhi.deprecation import renamed_names as _renamed_names
from izhi.hardware import ip as _ip
from izhi.hardware.artifact.ip import IPArtifact
from izhi.hardware.ip import *  # noqa: F403

__all__ = _ip.__all__ + ["IPArtifact"]  # noqa: RUF005

__getattr__ = _renamed_names(__name__, {name: f"IP{name}" for name in ("Layer", "Network", "Overlay")})
__dir__ = __all__.copy
