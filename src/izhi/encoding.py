"""Encodings of samples as spikes: what ``izhi.network.encoding`` holds."""

from izhi.network.encoding import *  # noqa: F403
