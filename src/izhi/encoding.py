"""Encodings of samples as spikes: what ``encoding``, ``series`` and ``encoders`` of ``izhi.network`` hold."""

from izhi.network.encoders import *  # noqa: F403
from izhi.network.encoding import *  # noqa: F403
from izhi.network.series import *  # noqa: F403
