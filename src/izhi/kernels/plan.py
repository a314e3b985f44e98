"""What the fused kernels of every device have in common: what is compiled, and what is passed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

#: Steps between two states that the forward pass keeps; the backward pass computes those between again.
KEEP_EVERY = 32


@dataclass(frozen=True)
class EventOrder:
    """The order of events within one time step.

    Attributes:
        spike_on: the v that is compared with the threshold, before or after integration.
        reset: ``"before"`` the integration (of a neuron whose old v is at threshold) or ``"after"``
            it (in the step in which the neuron fires).
        rests: whether a neuron that is reset leaves out the integration of that step.
        substeps: Euler sub-steps of dt / substeps for v.
        u_from: the v that drives u: the old v, in every sub-step, or the new v, once.
    """

    spike_on: Literal["old v", "new v"]
    reset: Literal["before", "after"]
    rests: bool
    substeps: int
    u_from: Literal["old v", "new v"]


@dataclass(frozen=True)
class Reset:
    """The reset of a LIF neuron: its mode, and whether it waits for the next step."""

    mode: str
    delay: bool


@dataclass(frozen=True)
class Plan:
    """Everything a kernel is compiled for; one is compiled, and cached on disk, for each plan.

    Attributes:
        dynamics: the event order of an Izhikevich neuron, or the reset of a LIF neuron.
        surrogate: class of the surrogate (izhi.surrogate.ClosedForm).
        dtype: of currents and spikes in memory, float32 or bfloat16; arithmetic is in float32.
        coupled: whether there is a conductance.
        filtered: whether there is a synapse.
        biased: whether there is a bias.
        shared: whether all neurons have the same coefficients.
        learn: the coefficients whose gradients the backward pass computes, besides the bias: none, the
            gain of the current, or all and the decay.
        quantized: whether states and currents are fixed-point numbers.
    """

    dynamics: EventOrder | Reset
    surrogate: type
    dtype: torch.dtype
    coupled: bool
    filtered: bool
    biased: bool
    shared: bool
    learn: Literal["none", "gain", "all"]
    quantized: bool = False

    @property
    def own(self) -> int:
        """State variables of the neuron itself: v and u, or v."""
        return 2 if isinstance(self.dynamics, EventOrder) else 1

    @property
    def rows(self) -> int:
        """Coefficients of the neuron; quantised LIF has a gain among them."""
        return 11 if self.own == 2 else 3 if self.quantized else 2

    @property
    def gain(self) -> int | None:
        """Which coefficient is the gain of the current; the last, if there is one."""
        return None if self.rows == 2 else self.rows - 1

    @property
    def summed(self) -> tuple[int, ...]:
        """The coefficients whose gradients are computed; the last of all is the decay."""
        if self.learn == "gain":
            return (self.rows - 1,)
        return tuple(range(self.rows + 1)) if self.learn == "all" else ()

    @property
    def states(self) -> int:
        """State variables in all: the neuron's, then the synapse's."""
        return self.own + (1 + self.coupled if self.filtered else 0)


class Formats(NamedTuple):
    """Fixed-point numbers of a layer's states, as the kernels use them: values, not integers.

    Attributes:
        v_scale: 2 to the power of the fraction of v, and of the current.
        u_scale: of u.
        v_low, v_high: limits of v.
        u_low, u_high: limits of u.
        i_low, i_high: limits of the current.
    """

    v_scale: float
    u_scale: float
    v_low: float
    v_high: float
    u_low: float
    u_high: float
    i_low: float
    i_high: float


#: Constants of a call: ten of every plan, then scales, units and limits of quantised states.
CONSTANTS = 18


def constants_of(formats: Formats | None) -> tuple[float, ...]:
    """What ``Call.constants`` holds of formats: scales, their inverses, limits of u and of the current."""
    if formats is None:
        return (1.0,) * 8
    f = formats
    return (
        f.v_scale,
        1 / f.v_scale,
        f.u_scale,
        1 / f.u_scale,
        f.u_low,
        f.u_high,
        f.i_low,
        f.i_high,
    )


class Call(NamedTuple):
    """The tensors of one call, over lanes = batch × neurons, with lane = sample · N + neuron.

    Attributes:
        current, conductance: (T, lanes); conductance has no elements where there is none.
        bias: (N,); no elements where there is none. Added to the current, and in quantised neurons to
            the sum that holds their constant (a4), which it replaces.
        coefficients: (rows, 1) or (rows, N): 11 of an Izhikevich neuron, 2 of LIF, 3 if quantised.
        constants: dt, dt of a sub-step, v_min, v_max, jacobian_limit, span, two of the surrogate,
            decay, implicit; then of quantised states (see ``Formats``), in float32.
    """

    current: Tensor
    conductance: Tensor
    bias: Tensor
    coefficients: Tensor
    constants: Tensor


class Gradients(NamedTuple):
    """What a backward pass gives, over lanes; None where there is nothing to give.

    Attributes:
        current, conductance: (T, lanes), in the format of the current.
        state: (states, lanes), before the first step.
        bias: (lanes,).
        coefficients: (rows, lanes), those of ``Plan.summed``.
    """

    current: Tensor
    conductance: Tensor | None
    state: Tensor
    bias: Tensor | None
    coefficients: Tensor | None
