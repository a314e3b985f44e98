"""The existing FPGA IP and its artifacts: what ``izhi.hardware.ip`` holds."""

from izhi.deprecation import renamed_names
from izhi.hardware.artifact.ip import IPArtifact as IPArtifact
from izhi.hardware.ip import *  # noqa: F403

__getattr__ = renamed_names(__name__, {name: f"IP{name}" for name in ("Layer", "Network", "Overlay")})
