"""The IP's neurons: float32, every operation rounded, in the IP's order; equal to it bit for bit.

Each step is a function that numpy runs on arrays and Numba compiles for single numbers; operations must not be fused.
Overflow gives infinity or NaN, as in float32; a neuron whose v is NaN never fires.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from izhi.hardware.fixed.arithmetic import Booleans, chosen
from izhi.hardware.ip.network import Build, Floats

THRESHOLD, A2, A3 = np.float32(0.7), np.float32(-0.210), np.float32(-0.019)
RESET, STEP_OF_U, DIVISOR = np.float32(0.105), np.float32(0.412), np.float32(32)
BETA = np.float32(0.95)

#: v, u and whether it fires, of v, u and I.
Step = Callable[[Floats, Floats, Floats], tuple[Floats, Floats, Booleans]]


def izhikevich(v: Floats, u: Floats, current: Floats) -> tuple[Floats, Floats, Booleans]:
    """A step of the build ``izhi``.

    spike = v ≥ 0.7
    if spike:  v ← 0.105,  u ← u + 0.412
    else:      v ← v + (((v·v − 0.21·v) − 0.019·u) + I),  u ← u + (−v/32 − u/32), the new v
    """
    fired = v >= THRESHOLD
    v_new = v + (((v * v + A2 * v) + A3 * u) + current)
    u_new = u + (-v_new / DIVISOR - u / DIVISOR)
    return chosen(fired, RESET, v_new), chosen(fired, u + STEP_OF_U, u_new), fired


def lif(v: Floats, u: Floats, current: Floats) -> tuple[Floats, Floats, Booleans]:
    """A step of the build ``lif``, which does not change u.

    spike = v > 0.7
    v ← I + 0.95·v,  and v ← v − 0.7 if spike
    """
    fired = v > THRESHOLD
    v_new = current + BETA * v
    return chosen(fired, v_new - THRESHOLD, v_new), u, fired


#: By the names of the builds.
NEURONS: Mapping[Build, Step] = {"izhi": izhikevich, "lif": lif}


def spikes_of(build: Build, current: Floats, steps: int) -> NDArray[np.float32]:
    """Spikes (steps, …) of neurons that begin at 0, for a current (steps or 1, …)."""
    v, u = np.zeros(current.shape[1:], np.float32), np.zeros(current.shape[1:], np.float32)
    spikes = np.empty((steps, *v.shape), np.float32)
    step = NEURONS[build]
    for t in range(steps):
        v, u, spikes[t] = step(v, u, current[t % len(current)])
    return spikes
