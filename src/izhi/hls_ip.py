"""The existing FPGA IP and its artifacts: what ``izhi.hardware.ip`` holds."""

from izhi.hardware.artifact.ip import IPArtifact as IPArtifact
from izhi.hardware.ip import *  # noqa: F403
