"""The integer model the quickest way that there is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from izhi.hardware.fixed.network import Network, Outcome, run


def run_compiled(network: Network, spikes: NDArray[np.integer]) -> Outcome:
    """What ``run`` gives without a trace, by Numba where it is installed, which is not on every board."""
    try:
        from izhi.hardware.fixed import fast
    except ImportError:
        return run(network, spikes)
    return fast.run(network, spikes)
