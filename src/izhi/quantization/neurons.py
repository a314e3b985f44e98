"""Neurons with states in fixed-point formats: the arithmetic of izhi.fixed, with gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from izhi import kernels
from izhi.equation import Equation
from izhi.equation.equation import limited
from izhi.equation.integers import fixed_point_constants, integer_step
from izhi.errors import CheckpointError, EquationError, SettingError, shown
from izhi.hardware import fixed
from izhi.hardware.fixed import FixedPoint
from izhi.hardware.fixed.arithmetic import Integers
from izhi.hardware.fixed.bounds import MOST_BITS, MOST_FRACTION
from izhi.hardware.fixed.neuron import kind_of
from izhi.kernels import AnyInput, Synapse, SynapticInput
from izhi.kernels.plan import FORMATS_OF, Formats, Grid
from izhi.kernels.torch_step import constants_function, rounded
from izhi.neurons import Neuron
from izhi.neurons.neuron import DYNAMICS, NeuronLayer, clamp_straight_through, step_of, step_settings, with_values

#: Bits of the integers that float32 holds.
EXACT_BITS = 24
#: Bits of multipliers; bits by which the constants a4 and bias are finer than the unit of v.
MULTIPLIER_BITS, FINER = 14, 4


@dataclass(frozen=True)
class StateFormats:
    """Fixed-point formats of a layer's states.

    Attributes:
        v: of v, the first state, and of currents.
        u: of u, the second state; neurons with one state do not use it.
        fraction: bits behind the point of the coefficients.
        trace: of a synapse's sums, in units of its input; None without a synapse.
        others: of the third state and the fourth.
        limited: whether v keeps the limits of the float neuron beside those of its format.
    """

    v: FixedPoint
    u: FixedPoint
    fraction: int = 14
    trace: FixedPoint | None = None
    others: tuple[FixedPoint, ...] = ()
    limited: bool = False

    @property
    def states(self) -> tuple[FixedPoint, ...]:
        """The format of each state, of two at least."""
        return (self.v, self.u, *self.others)

    def with_state(self, place: int, number: FixedPoint) -> StateFormats:
        """A copy with another format of a state."""
        states = [number if k == place else x for k, x in enumerate(self.states)]
        return replace(self, v=states[0], u=states[1], others=tuple(states[2:]))

    def as_tensor(self) -> Tensor:
        """Widths and fractions of states, the coefficients' fraction, and width and fraction of a trace."""
        numbers = [x for state in self.states for x in state]
        return torch.tensor([*numbers, self.fraction, *(self.trace or ())])

    @classmethod
    def of_tensor(cls, numbers: Tensor, states: int) -> StateFormats:
        """The formats that ``as_tensor`` wrote of so many states; CheckpointError for numbers out of range."""
        whole, count = numbers.tolist(), 2 * max(states, 2)
        pairs = [*whole[:count], *whole[count + 1 :]]
        widths, fractions = pairs[::2], [*pairs[1::2], *whole[count : count + 1]]
        has_all = len(whole) in (count + 1, count + 3)
        if (
            not has_all
            or any(not 2 <= x <= MOST_BITS for x in widths)
            or any(not 0 <= x <= MOST_FRACTION for x in fractions)
        ):
            raise CheckpointError(
                f"its states have formats {whole}, expected widths of 2 to {MOST_BITS} and fractions of 0 to"
                f" {MOST_FRACTION}; use an intact copy"
            )
        v, u, *others = (FixedPoint(*pairs[k : k + 2]) for k in range(0, count, 2))
        return cls(v, u, whole[count], FixedPoint(*whole[count + 1 :]) if whole[count + 1 :] else None, tuple(others))

    @property
    def of_kernels(self) -> Formats:
        """The same formats in the form of the kernels."""
        return Formats(grid_of(self.v), tuple(map(grid_of, self.states)))

    @property
    def sum_fraction(self) -> int:
        """Bits behind the point of the sums that the gain multiplies."""
        return 0 if self.trace is None else self.trace.fraction

    def of_sums(self, scale: float) -> StateFormats:
        """The formats for a synapse whose inputs are integers, in units of ``scale``.

        Its sums keep their range, with as many bits before the point as the range needs.
        """
        if self.trace is None:
            return self
        before = self.trace.width - self.trace.fraction - math.floor(math.log2(scale))
        width = min(max(self.trace.width, before), EXACT_BITS)
        return replace(self, trace=FixedPoint(width, min(max(width - before, 0), MOST_FRACTION)))


def grid_of(number: FixedPoint) -> Grid:
    """A format in values."""
    return Grid(2.0**number.fraction, number.lowest * number.unit, number.highest * number.unit)


def multiplied(factor: Tensor, unit: float) -> tuple[Tensor, int]:
    """Round a factor (N,) to multiplier / 2^shift of a unit; returns its value, with gradient, and the shift.

    The largest multiplier has MULTIPLIER_BITS bits, where the shift allows.
    """
    largest = float((factor.detach().double().abs() / unit).max())
    shift = MULTIPLIER_BITS - 1 - math.floor(math.log2(largest)) if largest > 0 else 0
    shift = min(max(shift, 0), 40)
    return rounded(factor.double(), 2.0**shift / unit), shift


class QuantizedNeuron(nn.Module):
    """A neuron in fixed-point numbers, see ``izhi.equation.fixed_point``.

    The synaptic input holds integers, the sums of quantised weights, and the factor ``gain`` that makes them
    currents. Learned coefficients of the float neuron train further, through the rounding.

    Args:
        neuron: whose coefficients are rounded.
        formats: of its states.

    Raises:
        SettingError: for neurons that hardware does not have.
        EquationError: for an operation that integers do not have, or more than four states.
    """

    format: Tensor
    #: Whether ``forward`` takes spikes and weights instead of currents.
    takes_spikes: ClassVar[bool] = True

    def __init__(self, neuron: NeuronLayer[Any, Any], formats: StateFormats) -> None:
        super().__init__()
        fixed_point_constants(neuron.settings.equation)
        count = len(neuron.settings.equation.states)
        if count > len(FORMATS_OF):
            raise EquationError(
                f"{neuron.kind} has {count} states, expected at most {len(FORMATS_OF)} in fixed-point numbers"
            )
        self.neuron: NeuronLayer[Any, Any] = neuron
        missing = (formats.v,) * (count - len(formats.states))
        self.register_buffer("format", replace(formats, others=(*formats.others, *missing)).as_tensor())
        self._is_limited = formats.limited

    @property
    def kind(self) -> str:
        """The name of the float neuron."""
        return self.neuron.kind

    @property
    def formats(self) -> StateFormats:
        """Formats of the states, kept in a buffer, which checkpoints hold."""
        of_states = StateFormats.of_tensor(self.format, len(self.neuron.settings.equation.states))
        return replace(of_states, limited=self._is_limited)

    @property
    def equation(self) -> Equation:
        """The equation of its steps: that of the float neuron, with the limits of v where the formats keep them."""
        own: Equation = self.neuron.settings.equation
        return limited(own) if self._is_limited else own

    def get_extra_state(self) -> Tensor:
        """Whether v keeps its limits, 0 or 1; networks that were saved before this existed have none."""
        return torch.tensor(int(self._is_limited))

    def set_extra_state(self, state: object) -> None:
        """Set it; raises CheckpointError unless the state is 0 or 1."""
        if not (
            isinstance(state, Tensor) and state.shape == () and state.dtype == torch.int64 and int(state) in (0, 1)
        ):
            raise CheckpointError(f"whether v has limits is {shown(state)}, expected 0 or 1; use an intact copy")
        self._is_limited = bool(state)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        state_dict.setdefault(prefix + DYNAMICS, torch.tensor(0))
        super()._load_from_state_dict(state_dict, prefix, *others)

    @property
    def parameter_shape(self) -> tuple[int, ...] | None:
        """Shape of the float neuron's parameters; all values below are those of the float neuron."""
        return self.neuron.parameter_shape

    @property
    def kernel(self) -> str:
        """Name of the kernels that run the neurons."""
        return self.neuron.kernel

    @property
    def learned(self) -> nn.ParameterDict:
        """The learned coefficients."""
        return self.neuron.learned

    @property
    def unit_of_v(self) -> Literal["mV", "1"]:
        """The unit of v."""
        return self.neuron.unit_of_v

    @property
    def reversal(self) -> tuple[float, float, float]:
        """(E_inh, v_rest, E_exc) of a conductance synapse."""
        return self.neuron.reversal

    @property
    def implicit(self) -> float:
        """κ of a conductance synapse's implicit step."""
        return self.neuron.implicit

    def parameter_scale(self, name: str) -> float:
        """The unit of a learned coefficient."""
        return self.neuron.parameter_scale(name)

    def coefficients(self) -> Any:
        """The coefficients before they are rounded."""
        return self.neuron.coefficients()

    def initial_state(self, current_t: Tensor) -> Any:
        """The float neuron's initial state, rounded, within the formats."""
        state = self.neuron.initial_state(current_t)
        grids = map(grid_of, self.formats.states)
        held = [rounded(x, g.scale).clamp(g.low, g.high) for x, g in zip(state[:-1], grids, strict=False)]
        return with_values(state, held, state[-1])

    def rounded(self, drive: AnyInput) -> tuple[dict[str, Tensor], Tensor, int]:
        """The constants of a step, and the factor of the synaptic input, rounded, and its shift.

        Constants are by name, (N,) or (1,); they include the bias of the synaptic input.
        """
        s, formats, equation = self.neuron.settings, self.formats, self.equation
        f = dict(zip(equation.states, formats.states, strict=False))
        step = fixed_point_constants(equation)
        held = integer_step(equation).selected.union(step.limits)
        p = [torch.as_tensor(x, dtype=torch.float64) for x in self.neuron.coefficients()]
        bias = torch.zeros(1).double() if drive.bias is None else drive.bias.double()
        *values, factor = constants_function(equation)(p, s.constants, bias, torch.zeros(()).double())
        results = dict[str, Tensor]()
        for constant, value in zip(step.constants, values, strict=True):
            number = f[constant.of]
            if constant.role == "factor":
                value = rounded(value, 2.0 ** (formats.fraction + number.fraction - f[constant.by].fraction))
            elif constant.role == "addend":
                value = rounded(value, 2.0 ** (number.fraction + FINER))
            elif constant.role == "value":
                value = rounded(value, 2.0**number.fraction)
                if constant.name in held:
                    value = clamp_straight_through(value, *grid_of(number)[1:])
            results[constant.name] = value.float()
        factor, unit = factor * gain_of(drive), formats.v.unit
        if self.learned:  # which training may carry to where no multiplier is
            factor = clamp_straight_through(factor, 0.0, (2**31 - 1) * unit)
        multiplier, shift = multiplied(factor, unit)
        return results, multiplier.float(), shift

    def _over_time(self, drive: AnyInput, state: Any) -> tuple[Tensor, Any]:
        """Run all steps of a synaptic input of integers."""
        s, equation, (values, factor, _) = self.neuron.settings, self.equation, self.rounded(drive)
        name = fixed_point_constants(equation).bias
        bias = None if name is None else values.pop(name).expand(drive.shape[2:])
        p = (*values.values(), factor)
        settings = step_settings(equation, s.surrogate, s.constants, s.state_quant, self.formats.of_kernels)
        *tensors, memory = state
        drive = drive._replace(gain=None, bias=bias)
        spikes, memory, after = kernels.run(drive, memory, tuple(tensors), p, settings, self.kernel)
        return spikes, with_values(state, after, memory)

    def forward(self, current: Tensor | AnyInput, state: Any = None) -> tuple[Tensor, Any]:
        """Run over time, as the float neuron does."""
        drive = in_formats(SynapticInput(current) if isinstance(current, Tensor) else current, self.formats)
        state = self.initial_state(step_of(drive)) if state is None else state
        return self._over_time(drive, state)

    def synapse_in_integers(self, drive: SynapticInput) -> fixed.IntegerSynapse | None:
        """The synapse of izhi.fixed; None without one."""
        synapse, number = in_formats(drive, self.formats).synapse, self.formats.trace
        if synapse is None or number is None:
            return None
        return fixed.IntegerSynapse(number, integers_of(synapse.decay, self.formats.fraction, drive.shape[2:]))

    def step(self, current_t: Tensor | SynapticInput, state: Any = None) -> tuple[Tensor, Any]:
        """One step of the same: current_t (B, *features) → spikes (B, *features), next state."""
        drive = current_t if isinstance(current_t, SynapticInput) else SynapticInput(current_t)
        spikes, after = self.forward(drive._replace(current=drive.current[None]), state)
        return spikes[0], after

    @property
    def _kind(self) -> type[fixed.IntegerNeuron]:
        equation = self.equation
        start = self.neuron.initial_state(torch.zeros(1, 1))[:-1]
        initial = tuple(name for name, x in zip(equation.states, start, strict=True) if x.any())
        return kind_of(equation, initial)

    def in_integers(self, drive: AnyInput) -> tuple[fixed.IntegerNeuron, Integers, int]:
        """The neuron of izhi.fixed, its multipliers and their shift."""
        shape, drive, kind = drive.shape[2:], in_formats(drive, self.formats), self._kind
        f = dict(zip(kind.states(), self.formats.states, strict=False))
        fractions = {name: number.fraction for name, number in f.items()}
        values, factor, shift = self.rounded(drive)  # those of the backward pass alone are the last
        constants = {
            x.name: integers_of(value, x.fraction(fractions, self.formats.fraction), shape)
            for x, value in zip(kind.operations.constants, values.values(), strict=False)
        }
        start = self.initial_state(torch.zeros(1, *shape))
        for name, value in zip(f, start, strict=False):
            if f"{name}0" in kind.initial:
                constants[f"{name}0"] = integers_of(value[0], fractions[name], shape)
        neuron = kind.of(f, self.formats.fraction, constants)
        multiplier = integers_of(factor, shift + self.formats.v.fraction, shape)
        return neuron, multiplier, shift + self.formats.sum_fraction


def quantized_neuron(neuron: Neuron, formats: StateFormats) -> QuantizedNeuron:
    """Quantise the states of a neuron; raises as ``QuantizedNeuron``."""
    return QuantizedNeuron(cast(NeuronLayer[Any, Any], neuron), formats)


def in_formats(drive: AnyInput, formats: StateFormats) -> AnyInput:
    """A synaptic input whose synapse sums fixed-point numbers; its gain includes 1 − decay."""
    number, synapse = formats.trace, drive.synapse
    if synapse is None:
        return drive
    if number is None or drive.conductance is not None:
        raise SettingError("a synapse is a conductance or has no format, expected ExponentialSynapse and its format")
    decay = rounded(synapse.decay, 2.0**formats.fraction)
    return drive._replace(synapse=Synapse(decay, grid=grid_of(number)), gain=gain_of(drive) * (1 - decay.double()))


def gain_of(drive: AnyInput) -> Tensor:
    """The factor that makes a synaptic input a current; 1 for one of currents."""
    return torch.ones(1).double() if drive.gain is None else drive.gain.double()


def integers_of(value: Tensor | float, fraction: int, shape: Sequence[int]) -> Integers:
    """Values that are multiples of 2^-fraction as integers of each neuron, (N,)."""
    raw = torch.as_tensor(value).detach().double() * 2.0**fraction
    return np.array(raw.round().long().expand(*shape).flatten().numpy())
