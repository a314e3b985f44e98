"""Encodings of samples as spikes: what ``izhi.network.encoding`` and ``izhi.network.encoders`` hold."""

from izhi.network.encoders import *  # noqa: F403
from izhi.network.encoding import *  # noqa: F403
