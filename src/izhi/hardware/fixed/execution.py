"""The integer model by its fastest implementation on this machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from izhi.hardware.fixed.network import IntegerNetwork, Outcome, run


def run_compiled(network: IntegerNetwork, spikes: NDArray[np.integer]) -> Outcome:
    """The outcome of ``run`` without a trace: by Numba, or by ``run`` on boards without Numba."""
    try:
        from izhi.hardware.fixed import fast
    except ImportError:
        return run(network, spikes)
    return fast.run(network, spikes)
