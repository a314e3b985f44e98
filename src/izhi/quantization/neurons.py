"""Neurons with states in fixed-point formats: the arithmetic of izhi.fixed, with gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, Literal, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from izhi import kernels
from izhi.errors import CheckpointError, SettingError
from izhi.hardware import fixed
from izhi.hardware.fixed import FixedPoint, IzhikevichNeuron, LIFNeuron, SoftLIFNeuron, ValueLIFNeuron, ZeroingLIFNeuron
from izhi.hardware.fixed.arithmetic import Integers
from izhi.hardware.fixed.bounds import MOST_BITS, MOST_FRACTION
from izhi.kernels import (
    AnyInput,
    Coefficients,
    Synapse,
    SynapticInput,
    ValueLIFCoefficients,
)
from izhi.kernels.plan import Formats, Grid
from izhi.kernels.torch_step import rounded
from izhi.neurons import LIF, Izhikevich, IzhikevichState, LIFState, Neuron, NeuronCoefficients
from izhi.neurons.neuron import clamp_straight_through, step_of, step_settings, with_values
from izhi.spec import entry_of

#: Bits of the integers that float32 holds.
EXACT_BITS = 24
#: Bits of multipliers; bits by which the constants a4 and bias are finer than the unit of v.
MULTIPLIER_BITS, FINER = 14, 4

Wrapped = TypeVar("Wrapped", bound=Izhikevich | LIF)
State = TypeVar("State", bound=IzhikevichState | LIFState)


@dataclass(frozen=True)
class StateFormats:
    """Fixed-point formats of a layer's states.

    Attributes:
        v: of v and of currents.
        u: of u.
        fraction: bits behind the point of the coefficients.
        trace: of a synapse's sums, in units of its input; None without a synapse.
    """

    v: FixedPoint
    u: FixedPoint
    fraction: int = 14
    trace: FixedPoint | None = None

    def as_tensor(self) -> Tensor:
        """Widths and fractions of v and u, the coefficients' fraction, and width and fraction of a trace."""
        v, u = self.v, self.u
        return torch.tensor([v.width, v.fraction, u.width, u.fraction, self.fraction, *(self.trace or ())])

    @classmethod
    def of_tensor(cls, numbers: Tensor) -> StateFormats:
        """The formats that ``as_tensor`` wrote; CheckpointError for widths or fractions out of range."""
        a, b, c, d, fraction, *trace = numbers.tolist()
        widths, fractions = (a, c, *trace[:1]), (b, d, fraction, *trace[1:])
        if any(not 2 <= x <= MOST_BITS for x in widths) or any(not 0 <= x <= MOST_FRACTION for x in fractions):
            raise CheckpointError(
                f"its states have formats {numbers.tolist()}, expected widths of 2 to {MOST_BITS} and fractions of 0 to"
                f" {MOST_FRACTION}; use an intact copy"
            )
        return cls(FixedPoint(a, b), FixedPoint(c, d), fraction, FixedPoint(*trace) if trace else None)

    @property
    def of_kernels(self) -> Formats:
        """The same formats in the form of the kernels."""
        v, u = map(_limits, (self.v, self.u))
        return Formats(2.0**self.v.fraction, 2.0**self.u.fraction, *v, *u, *v)

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


def _limits(number: FixedPoint) -> tuple[float, float]:
    """The least and the greatest value of a format."""
    return number.lowest * number.unit, number.highest * number.unit


def multiplied(factor: Tensor, unit: float) -> tuple[Tensor, int]:
    """Round a factor (N,) to multiplier / 2^shift of a unit; returns its value, with gradient, and the shift.

    The largest multiplier has MULTIPLIER_BITS bits, where the shift allows.
    """
    largest = float((factor.detach().double().abs() / unit).max())
    shift = MULTIPLIER_BITS - 1 - math.floor(math.log2(largest)) if largest > 0 else 0
    shift = min(max(shift, 0), 40)
    return rounded(factor.double(), 2.0**shift / unit), shift


class _Quantized(nn.Module, Generic[Wrapped, State]):
    """Base of quantised neurons: a float neuron, and the formats of its states.

    The synaptic input holds integers, the sums of quantised weights, and the factor ``gain`` that makes them
    currents. Learned coefficients of the float neuron train further, through the rounding.
    """

    format: Tensor
    #: Whether ``forward`` takes spikes and weights instead of currents.
    takes_spikes: ClassVar[bool] = True

    def __init__(self, neuron: Wrapped, formats: StateFormats) -> None:
        super().__init__()
        self.neuron: Wrapped = neuron
        self.register_buffer("format", formats.as_tensor())

    @property
    def formats(self) -> StateFormats:
        """Formats of the states, kept in a buffer, which checkpoints hold."""
        return StateFormats.of_tensor(self.format)

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

    def coefficients(self) -> NeuronCoefficients:
        """The coefficients before they are rounded."""
        return self.neuron.coefficients()

    def initial_state(self, current_t: Tensor) -> State:
        """The float neuron's initial state, rounded."""
        raise NotImplementedError

    def _over_time(self, drive: AnyInput, state: State) -> tuple[Tensor, State]:
        """Run all steps of a synaptic input of integers."""
        raise NotImplementedError

    def _run(self, drive: AnyInput, state: State, p: tuple[Tensor | float, ...]) -> tuple[Tensor, State]:
        """All steps with rounded coefficients, the last of which is the gain."""
        s = self.neuron.settings
        settings = step_settings(s.equation, s.surrogate, s.constants, s.state_quant, self.formats.of_kernels)
        *tensors, memory = state
        spikes, memory, after = kernels.run(drive._replace(gain=None), memory, tuple(tensors), p, settings, self.kernel)
        return spikes, with_values(state, after, memory)

    def forward(self, current: Tensor | AnyInput, state: State | None = None) -> tuple[Tensor, State]:
        """Run over time, as the float neuron does."""
        drive = self._in_formats(SynapticInput(current) if isinstance(current, Tensor) else current)
        state = self.initial_state(step_of(drive)) if state is None else state
        return self._over_time(drive, state)

    def _in_formats(self, drive: AnyInput) -> AnyInput:
        """A synaptic input whose synapse sums fixed-point numbers; its gain includes 1 − decay."""
        number, synapse = self.formats.trace, drive.synapse
        if synapse is None:
            return drive
        if number is None or drive.conductance is not None:
            raise SettingError(
                "a synapse is a conductance or has no format, expected ExponentialSynapse and its format"
            )
        decay = rounded(synapse.decay, 2.0**self.formats.fraction)
        grid = Grid(2.0**number.fraction, *_limits(number))
        gain = _gain(drive) * (1 - decay.double())
        return drive._replace(synapse=Synapse(decay, grid=grid), gain=gain)

    def synapse_in_integers(self, drive: SynapticInput) -> fixed.IntegerSynapse | None:
        """The synapse of izhi.fixed; None without one."""
        synapse, number = self._in_formats(drive).synapse, self.formats.trace
        if synapse is None or number is None:
            return None
        return fixed.IntegerSynapse(number, _integers(synapse.decay, self.formats.fraction, drive.shape[2:]))

    def step(self, current_t: Tensor | SynapticInput, state: State | None = None) -> tuple[Tensor, State]:
        """One step of the same: current_t (B, *features) → spikes (B, *features), next state."""
        drive = current_t if isinstance(current_t, SynapticInput) else SynapticInput(current_t)
        spikes, after = self.forward(drive._replace(current=drive.current[None]), state)
        return spikes[0], after


class QuantizedIzhikevich(_Quantized[Izhikevich, IzhikevichState]):
    """An Izhikevich neuron in fixed-point numbers, in the event order of the FPGA IP.

    Args:
        neuron: whose coefficients are rounded.
        formats: of its states.

    Raises:
        SettingError: for another event order.
    """

    kind: ClassVar[str] = Izhikevich.kind

    def __init__(self, neuron: Izhikevich, formats: StateFormats) -> None:
        super().__init__(neuron, formats)
        neuron.spec.check_hardware()

    def fractions(self) -> dict[str, int]:
        """Bits behind the point of each coefficient as a value."""
        f, v, u = self.formats.fraction, self.formats.v.fraction, self.formats.u.fraction
        return {
            "a1": f, "a2": f, "a3": f + v - u, "a4": v + FINER, "b1": f + u - v, "b2": f, "b3": u + FINER,
            "c": v, "d": u, "threshold": v,
        }  # fmt: skip

    def rounded(self, drive: AnyInput) -> Coefficients:
        """Rounded coefficients, multiplied by dt; a4 includes the bias of the synaptic input."""
        p, dt = self.neuron.coefficients(), self.neuron.settings.constants.dt
        values = {name: torch.as_tensor(x, dtype=torch.float64) for name, x in p._asdict().items()}
        for name in ("a1", "a2", "a3", "a4", "b1", "b2", "b3", "gain"):
            values[name] = dt * values[name]
        if drive.bias is not None:
            values["a4"] = values["a4"] + values["gain"] * drive.bias.double()
        gain, _ = multiplied(values["gain"] * _gain(drive), self.formats.v.unit)
        each = {name: rounded(values[name], 2.0**f) for name, f in self.fractions().items()}
        return Coefficients(*(x.float() for x in (*each.values(), gain)))

    def _over_time(self, drive: AnyInput, state: IzhikevichState) -> tuple[Tensor, IzhikevichState]:
        p = self.rounded(drive)
        # As a bias, a4 may differ between neurons while the layer shares the other coefficients.
        bias = torch.as_tensor(p.a4).expand(drive.shape[2:])
        return self._run(drive._replace(bias=bias), state, p._replace(a4=0.0))

    def initial_state(self, current_t: Tensor) -> IzhikevichState:
        """The float neuron's v0 and u0, rounded."""
        state = self.neuron.initial_state(current_t)
        v, u = 2.0**self.formats.v.fraction, 2.0**self.formats.u.fraction
        return IzhikevichState(rounded(state.v, v), rounded(state.u, u))

    def in_integers(self, drive: AnyInput) -> tuple[IzhikevichNeuron, Integers, int]:
        """The neuron of izhi.fixed, its multipliers and their shift."""
        f, drive = self.formats, self._in_formats(drive)
        wide = f.fraction + f.v.fraction
        fractions = {**self.fractions(), "a4": wide, "b3": f.fraction + f.u.fraction}
        p = self.rounded(drive)._asdict()
        shape = drive.shape[2:]
        whole = {name: _integers(p[name], bits, shape) for name, bits in fractions.items()}
        state = self.neuron.initial_state(torch.zeros(1, *shape))
        gain = torch.as_tensor(self.neuron.coefficients().gain).double() * self.neuron.settings.constants.dt
        _, shift = multiplied(gain * _gain(drive), f.v.unit)
        neuron = IzhikevichNeuron(
            f.v, f.u, f.fraction, **whole,
            v0=_integers(rounded(state.v[0], 2.0**f.v.fraction), f.v.fraction, shape),
            u0=_integers(rounded(state.u[0], 2.0**f.u.fraction), f.u.fraction, shape),
        )  # fmt: skip
        return neuron, _integers(p["gain"], shift + f.v.fraction, shape), shift + f.sum_fraction


#: Classes of LIF in integers by their reset.
_KINDS: dict[str, type[LIFNeuron]] = {
    "subtract": LIFNeuron, "soft": SoftLIFNeuron, "zero": ZeroingLIFNeuron, "value": ValueLIFNeuron,
}  # fmt: skip


class QuantizedLIF(_Quantized[LIF, LIFState]):
    """A LIF neuron in fixed-point numbers; see QuantizedIzhikevich.

    Raises:
        SettingError: for the reset "none", or another in the step of the spike.
    """

    kind: ClassVar[str] = LIF.kind

    def __init__(self, neuron: LIF, formats: StateFormats) -> None:
        super().__init__(neuron, formats)
        neuron.spec.check_hardware()

    def rounded(self, drive: AnyInput) -> tuple[tuple[Tensor, ...], Tensor]:
        """Rounded coefficients and gain, and the bias of the synaptic input, (N,) or (1,)."""
        p, f = self.neuron.coefficients(), self.formats
        values = [_rounded(p.beta, f.fraction), _rounded(p.threshold, f.v.fraction)]
        if isinstance(p, ValueLIFCoefficients):  # v_reset becomes v
            values.append(clamp_straight_through(_rounded(p.v_reset, f.v.fraction), *_limits(f.v)))
        gain = multiplied(_gain(drive), f.v.unit)[0].float()
        bias = torch.zeros(1) if drive.bias is None else drive.bias
        return (*values, gain), rounded(bias.double(), 2.0 ** (f.v.fraction + FINER)).float()

    def _over_time(self, drive: AnyInput, state: LIFState) -> tuple[Tensor, LIFState]:
        p, bias = self.rounded(drive)
        return self._run(drive._replace(bias=bias.expand(drive.shape[2:])), state, p)

    def initial_state(self, current_t: Tensor) -> LIFState:
        """v = 0, the same as before rounding."""
        return self.neuron.initial_state(current_t)

    def in_integers(self, drive: AnyInput) -> tuple[LIFNeuron, Integers, int]:
        """The neuron of izhi.fixed, its multipliers and their shift."""
        f, shape, drive = self.formats, drive.shape[2:], self._in_formats(drive)
        (beta, *of_state, gain), bias = self.rounded(drive)
        _, shift = multiplied(_gain(drive), f.v.unit)
        neuron: LIFNeuron = _KINDS[self.neuron.spec.reset](
            f.v, f.fraction, _integers(beta, f.fraction, shape), _integers(bias, f.fraction + f.v.fraction, shape),
            *(_integers(x, f.v.fraction, shape) for x in of_state),
        )  # fmt: skip
        return neuron, _integers(gain, shift + f.v.fraction, shape), shift + f.sum_fraction


AnyQuantized: TypeAlias = QuantizedIzhikevich | QuantizedLIF


def quantized_neuron(neuron: Neuron, formats: StateFormats) -> AnyQuantized:
    """Quantise the states of a neuron.

    Raises:
        SettingError: for neurons that hardware does not have.
    """
    quantized: AnyQuantized = entry_of(neuron.kind).load("torch-quantized")(neuron, formats)
    return quantized


def _rounded(value: Tensor | float, fraction: int) -> Tensor:
    """A coefficient as a multiple of 2^-fraction."""
    return rounded(torch.as_tensor(value).double(), 2.0**fraction).float()


def _gain(drive: AnyInput) -> Tensor:
    """The factor that makes a synaptic input a current; 1 for one of currents."""
    return torch.ones(1).double() if drive.gain is None else drive.gain.double()


def _integers(value: Tensor | float, fraction: int, shape: Sequence[int]) -> Integers:
    """Values that are multiples of 2^-fraction as integers of each neuron, (N,)."""
    raw = torch.as_tensor(value).detach().double() * 2.0**fraction
    return np.array(raw.round().long().expand(*shape).flatten().numpy())
