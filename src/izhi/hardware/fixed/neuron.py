"""The neurons in integers: what the hardware computes in each time step, operation by operation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from izhi.hardware.fixed.arithmetic import FixedPoint, Integers, rounded_shift, saturated


@dataclass(frozen=True)
class IzhikevichNeuron:
    """Quadratic neurons in the event order of the FPGA IP.

        fired = v ≥ threshold
        fired:      v ← c,   u ← sat(u + d)
        otherwise:  q = round(v·v / 2^Fv)
                    v ← sat(v + I + round((a1·q + a2·v + a3·u + a4) / 2^F))
                    u ← sat(u + round((b1·v + b2·u + b3) / 2^F))      with the new v

    A neuron sends a spike in the step in which it was found above threshold.

    Attributes:
        v_format, u_format: of the states; Fv is the fraction of v. I is in the format of v.
        fraction: F, of the coefficients of the two sums.
        a1 … b3: coefficients, (N,) each, scaled so that the sums have the fraction F of v or u.
        c, threshold: (N,), in the format of v.
        d: (N,), in the format of u.
        v0, u0: before the first step, (N,).
    """

    v_format: FixedPoint
    u_format: FixedPoint
    fraction: int
    a1: Integers
    a2: Integers
    a3: Integers
    a4: Integers
    b1: Integers
    b2: Integers
    b3: Integers
    c: Integers
    d: Integers
    threshold: Integers
    v0: Integers
    u0: Integers

    def start(self, batch: int) -> tuple[Integers, Integers]:
        """v and u before the first step, (batch, N) each."""
        shape = (batch, len(self.v0))
        return np.broadcast_to(self.v0, shape).copy(), np.broadcast_to(self.u0, shape).copy()

    def step(
        self, v: Integers, u: Integers, current: Integers
    ) -> tuple[Integers, Integers, Integers]:
        """v, u and spikes (0 or 1) after a step; all (batch, N)."""
        fired = v >= self.threshold
        q = rounded_shift(v * v, self.v_format.fraction)
        change = rounded_shift(self.a1 * q + self.a2 * v + self.a3 * u + self.a4, self.fraction)
        v_new = saturated(v + current + change, self.v_format)
        change = rounded_shift(self.b1 * v_new + self.b2 * u + self.b3, self.fraction)
        u_new = saturated(u + change, self.u_format)
        v_new = np.where(fired, self.c, v_new)
        u_new = np.where(fired, saturated(u + self.d, self.u_format), u_new)
        return v_new, u_new, fired.astype(np.int64)


@dataclass(frozen=True)
class LIFNeuron:
    """Leaky integrate-and-fire neurons; the reset follows in the step after the spike.

        above = v > threshold
        v ← sat(I + round((beta·v + bias) / 2^F) − above·threshold)
        spike = v > threshold

    Attributes:
        v_format: of the state and of I.
        fraction: F, of beta and bias.
        beta, bias: (N,).
        threshold: (N,), in the format of v.
    """

    v_format: FixedPoint
    fraction: int
    beta: Integers
    bias: Integers
    threshold: Integers

    def start(self, batch: int) -> tuple[Integers, Integers]:
        """v, and u, which these neurons leave at 0."""
        zeros = np.zeros((batch, len(self.beta)), np.int64)
        return zeros, zeros.copy()

    def step(
        self, v: Integers, u: Integers, current: Integers
    ) -> tuple[Integers, Integers, Integers]:
        """v, u and spikes (0 or 1) after a step; all (batch, N)."""
        reset = np.where(v > self.threshold, self.threshold, 0)
        leak = rounded_shift(self.beta * v + self.bias, self.fraction)
        v = saturated(current + leak - reset, self.v_format)
        return v, u, (v > self.threshold).astype(np.int64)
