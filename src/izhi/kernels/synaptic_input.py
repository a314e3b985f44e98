"""What goes into a layer of neurons: what arrives, what it carries, its coefficients and settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from izhi.kernels.plan import Constants, Formats, Grid
from izhi.spec import EventOrder, ResetMode

#: The step function that spikes are, with a derivative of its own in the backward pass.
SpikeGradient = Callable[[Tensor], Tensor]


class Coefficients(NamedTuple):
    """The coefficients of the quadratic map; floats, or tensors that broadcast over (B, N)."""

    a1: Tensor | float
    a2: Tensor | float
    a3: Tensor | float
    a4: Tensor | float
    b1: Tensor | float
    b2: Tensor | float
    b3: Tensor | float
    c: Tensor | float
    d: Tensor | float
    threshold: Tensor | float
    gain: Tensor | float


class LIFCoefficients(NamedTuple):
    """The coefficients of LIF; floats, or tensors that broadcast over (B, N)."""

    beta: Tensor | float
    threshold: Tensor | float


class ValueLIFCoefficients(NamedTuple):
    """The coefficients of LIF whose v a spike sets to v_reset."""

    beta: Tensor | float
    threshold: Tensor | float
    v_reset: Tensor | float


class QuantizedLIFCoefficients(NamedTuple):
    """The coefficients of LIF in fixed-point numbers, whose current is a sum of integers times gain."""

    beta: Tensor | float
    threshold: Tensor | float
    gain: Tensor | float


class QuantizedValueLIFCoefficients(NamedTuple):
    """The same of LIF whose v a spike sets to v_reset."""

    beta: Tensor | float
    threshold: Tensor | float
    v_reset: Tensor | float
    gain: Tensor | float


AnyLIFCoefficients: TypeAlias = (
    LIFCoefficients | ValueLIFCoefficients | QuantizedLIFCoefficients | QuantizedValueLIFCoefficients
)


@dataclass(frozen=True)
class IzhikevichSettings:
    """What is fixed about an Izhikevich layer.

    Attributes:
        order: order of events in a step.
        dt: time step.
        v_min, v_max: limits of v.
        jacobian_limit: limit of |∂v[t+1]/∂v[t]| in the backward pass; inf for plain BPTT.
        surrogate: derivative of the spike over (v − threshold)/span.
        span: threshold − c of the preset, the unit of the surrogate's argument.
        state_quant: applied to v and u after integration, before the neuron fires (reference only).
        formats: fixed-point numbers of the states, which then follow izhi.fixed exactly, in the order
            of the FPGA IP; dt is then in the coefficients.
    """

    order: EventOrder
    dt: float
    v_min: float
    v_max: float
    jacobian_limit: float
    surrogate: SpikeGradient
    span: float
    state_quant: Callable[[Tensor], Tensor] | None = None
    formats: Formats | None = None

    @property
    def per_span(self) -> float:
        """1/span in single precision, by which kernels multiply: a division takes as long as ten products."""
        return float(np.float32(1) / np.float32(self.span))

    @property
    def constants(self) -> Constants:
        """Those of the neuron, as kernels take them."""
        return Constants(
            dt=self.dt,
            substep=self.dt / self.order.substeps,
            v_low=self.v_min,
            v_high=self.v_max,
            jacobian_limit=self.jacobian_limit,
            span=self.span,
        )


@dataclass(frozen=True)
class LIFSettings:
    """What is fixed about a LIF layer: the reset mode, its timing, the surrogate, and formats.

    With formats, states are fixed-point numbers that follow izhi.fixed exactly.
    """

    reset: ResetMode
    reset_delay: bool
    surrogate: SpikeGradient
    formats: Formats | None = None


class Synapse(NamedTuple):
    """How arriving spikes become a current over time, integrated with the neuron that they drive.

        s[t] = decay·s[t−1] + x[t],   y[t] = (1 − decay)·s[t]

    for the current and, where there is one, the conductance; then both are divided by
    1 + implicit·conductance.

    Attributes:
        decay: what is left of s after a step, a tensor of no dimensions.
        implicit: κ of an implicit step (see ``ConductanceSynapse``); 0 for an explicit one.
        grid: of s as fixed-point numbers, in units of x, before a neuron with formats; y is then s, and 1 − decay in
            the drive's gain.
    """

    decay: Tensor
    implicit: float = 0.0
    grid: Grid | None = None


class SynapticInput(NamedTuple):
    """What a connection gives a neuron: I(v) = current + bias − conductance·v.

    Attributes:
        current: (T, B, *features), or (B, *features) for one step; N stands for the features here.
        conductance: of the same shape, or None for a current that does not depend on v.
        bias: (N,), or what broadcasts over a step, a constant current, which arrives behind the synapse; None for
            none. A quantised neuron, whose current is rounded, adds it to the sum that it rounds next.
        synapse: dynamics between these and the neuron; None if they act in their own step only.
        feedback: R (N, N), or the kernel (channels, channels, …) of a convolution that keeps the size, by
            which the neurons' own spikes of the step before add R·z[t−1] to the current; None without recurrence.
        gain: what broadcasts over a step, by which a quantised neuron multiplies current, a sum of integers, before the
            bias is added; None for a current that is one.
    """

    current: Tensor
    conductance: Tensor | None = None
    bias: Tensor | None = None
    synapse: Synapse | None = None
    feedback: Tensor | None = None
    gain: Tensor | None = None

    @property
    def shape(self) -> torch.Size:
        """That of the current."""
        return self.current.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.current.dtype

    @property
    def device(self) -> torch.device:
        return self.current.device

    def step(self, t: int) -> SynapticInput:
        """The drive of step t alone."""
        g = None if self.conductance is None else self.conductance[t]
        return self._replace(current=self.current[t], conductance=g)


class Memory(NamedTuple):
    """What a layer of neurons carries besides its own v and u.

    Attributes:
        synapse: s of the current, and of the conductance, (B, N) each; empty without a synapse.
        spikes: the last spikes, (B, N), for a recurrent layer; else None.
    """

    synapse: tuple[Tensor, ...] = ()
    spikes: Tensor | None = None
