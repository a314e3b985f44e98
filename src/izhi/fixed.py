"""The network in plain integers: what ``izhi.hardware.fixed`` holds."""

from izhi.hardware.fixed import *  # noqa: F403
