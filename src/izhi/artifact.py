"""Trained networks in integers, one file each: what ``izhi.hardware.artifact`` holds."""

from izhi.hardware.artifact import *  # noqa: F403
