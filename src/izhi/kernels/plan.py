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
        learn: whether the backward pass computes gradients of coefficients and decay.
    """

    dynamics: EventOrder | Reset
    surrogate: type
    dtype: torch.dtype
    coupled: bool
    filtered: bool
    biased: bool
    shared: bool
    learn: bool

    @property
    def own(self) -> int:
        """State variables of the neuron itself: v and u, or v."""
        return 2 if isinstance(self.dynamics, EventOrder) else 1

    @property
    def rows(self) -> int:
        """Coefficients of the neuron."""
        return 11 if self.own == 2 else 2

    @property
    def states(self) -> int:
        """State variables in all: the neuron's, then the synapse's."""
        return self.own + (1 + self.coupled if self.filtered else 0)


class Call(NamedTuple):
    """The tensors of one call, over lanes = batch × neurons, with lane = sample · N + neuron.

    Attributes:
        current, conductance: (T, lanes); conductance has no elements where there is none.
        bias: (N,); no elements where there is none.
        coefficients: (11, 1) or (11, N) of an Izhikevich neuron, (2, 1) or (2, N) of LIF.
        constants: dt, dt of a sub-step, v_min, v_max, jacobian_limit, span, two of the surrogate,
            decay and implicit, in float32.
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
        coefficients: (rows + 1, lanes), the last row that of the decay.
    """

    current: Tensor
    conductance: Tensor | None
    state: Tensor
    bias: Tensor | None
    coefficients: Tensor | None
