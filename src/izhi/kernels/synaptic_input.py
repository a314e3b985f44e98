"""What goes into a layer of neurons: what arrives, what it carries, its coefficients and settings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, cast
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from izhi.equation import Equation
from izhi.kernels.ops import Surrogate, has_formula
from izhi.kernels.plan import Constants, Formats, Grid, StepForm
from izhi.kernels.torch_step import StepFunction, neuron_step

#: The step function that spikes are, with a derivative of its own in the backward pass.
SpikeGradient = Callable[[Tensor], Tensor]


_NO_CONSTANTS = Constants()
_keys = itertools.count()
#: Settings that are in use.
_known: WeakValueDictionary[int, StepSettings] = WeakValueDictionary()


def settings_of(key: int) -> StepSettings:
    """The settings with a key."""
    return _known[key]


@dataclass(frozen=True, eq=False)
class StepSettings:
    """What is fixed about the time step of a layer of neurons.

    Attributes:
        equation: of a time step.
        surrogate: derivative of the spike.
        constants: of the equation, such as the time step and limits.
        state_quant: applied to the states after integration, before the neuron fires (reference only).
        formats: fixed-point numbers of the states, which then follow izhi.fixed exactly; dt is then in the
            coefficients.
        functions: of one step in torch, without and with a conductance, each without and with gradients; made here,
            where no compiler traces.
        of_kernels: the constants with those of formats and surrogate.
        key: a number by which ``settings_of`` finds them, as operators of torch take numbers; None where no kernel
            covers them.
    """

    equation: Equation
    surrogate: SpikeGradient
    constants: Constants = _NO_CONSTANTS
    state_quant: Callable[[Tensor], Tensor] | None = None
    formats: Formats | None = None
    functions: tuple[tuple[StepFunction, ...], ...] = field(init=False, repr=False)
    of_kernels: Constants = field(init=False, repr=False)
    key: int | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        quantized, limited = self.formats is not None, self.constants.jacobian_limit != math.inf
        functions = []
        for coupled in (False, True) if not quantized else (False,):
            form = StepForm(self.equation, coupled, False, quantized, quantized, limited, self.state_quant is not None)
            functions.append(tuple(neuron_step(form, learns) for learns in (False, True)))
        object.__setattr__(self, "functions", tuple(functions))
        constants = self.constants.quantized(self.formats)
        if has_formula(self.surrogate):
            first, second = cast(Surrogate, self.surrogate).constants
            constants = constants._replace(surrogate_first=first, surrogate_second=second)
        object.__setattr__(self, "of_kernels", constants)
        if has_formula(self.surrogate) and self.state_quant is None:
            object.__setattr__(self, "key", next(_keys))
            _known[cast(int, self.key)] = self

    def __reduce__(self) -> tuple[type[StepSettings], tuple[object, ...]]:
        return StepSettings, (self.equation, self.surrogate, self.constants, self.state_quant, self.formats)


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
