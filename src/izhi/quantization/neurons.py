"""Neurons whose states are fixed-point numbers: the arithmetic of izhi.fixed, with gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from izhi import kernels
from izhi.errors import SettingError
from izhi.hardware.fixed import FixedPoint, IzhikevichNeuron, LIFNeuron
from izhi.kernels import Coefficients, Drive
from izhi.kernels.plan import Formats
from izhi.kernels.reference import rounded
from izhi.neurons import LIF, ORDERS, Izhikevich, IzhikevichState, LIFState

#: Bits of multipliers, and how many bits finer than the unit of v the constants a4 and bias are.
MULTIPLIER_BITS, FINER = 14, 4

Neuron = TypeVar("Neuron", bound=Izhikevich | LIF)


@dataclass(frozen=True)
class StateFormats:
    """Numbers of a layer's states.

    Attributes:
        v: of v and of currents.
        u: of u.
        fraction: bits behind the point of the coefficients.
    """

    v: FixedPoint
    u: FixedPoint
    fraction: int = 14

    def as_tensor(self) -> Tensor:
        """Widths and fractions of v and u, and the coefficients' fraction."""
        v, u = self.v, self.u
        return torch.tensor([v.width, v.fraction, u.width, u.fraction, self.fraction])

    @classmethod
    def of_tensor(cls, numbers: Tensor) -> StateFormats:
        """The formats that ``as_tensor`` wrote."""
        a, b, c, d, fraction = numbers.tolist()
        return cls(FixedPoint(a, b), FixedPoint(c, d), fraction)

    @property
    def of_kernels(self) -> Formats:
        """The same as the kernels take it."""
        v, u = ((f.lowest * f.unit, f.highest * f.unit) for f in (self.v, self.u))
        return Formats(2.0**self.v.fraction, 2.0**self.u.fraction, *v, *u, *v)


def multiplied(factor: Tensor, unit: float) -> tuple[Tensor, int]:
    """A factor (N,) as multiplier / 2^shift of a unit: its value, with gradient, and the shift.

    The largest multiplier has MULTIPLIER_BITS bits, where the shift allows.
    """
    largest = float((factor.detach().double().abs() / unit).max())
    shift = MULTIPLIER_BITS - 1 - math.floor(math.log2(largest)) if largest > 0 else 0
    shift = min(max(shift, 0), 40)
    return rounded(factor.double(), 2.0**shift / unit), shift


class _Quantized(nn.Module, Generic[Neuron]):
    """What quantised neurons have in common: the float neuron, and the formats of its states."""

    format: Tensor

    def __init__(self, neuron: Neuron, formats: StateFormats) -> None:
        super().__init__()
        self.neuron: Neuron = neuron
        self.register_buffer("format", formats.as_tensor())

    @property
    def formats(self) -> StateFormats:
        """Of the states; a buffer, so that a checkpoint holds them."""
        return StateFormats.of_tensor(self.format)

    @property
    def learned(self) -> nn.ParameterDict:
        """The coefficients that are learned."""
        return self.neuron.learned

    def unit(self, name: str) -> float:
        """The unit of a learned coefficient."""
        return self.neuron.unit(name)


class QuantizedIzhikevich(_Quantized[Izhikevich]):
    """An Izhikevich neuron in fixed-point numbers, in the event order of the FPGA IP.

    Its drive holds integers, the sums of quantised weights, and the factor ``gain`` by which they become
    currents. What the wrapped neuron learns is learned further, through the rounding.

    Args:
        neuron: whose coefficients are rounded.
        formats: of its states.

    Raises:
        SettingError: for another event order.
    """

    def __init__(self, neuron: Izhikevich, formats: StateFormats) -> None:
        super().__init__(neuron, formats)
        if neuron.settings.order != ORDERS["fpga-ip"]:
            raise SettingError(
                f"order is {neuron.parameters_.order!r}, expected 'fpga-ip', the one that hardware has"
            )

    def fractions(self) -> dict[str, int]:
        """Bits behind the point of each coefficient as a value."""
        f, v, u = self.formats.fraction, self.formats.v.fraction, self.formats.u.fraction
        return {
            "a1": f, "a2": f, "a3": f + v - u, "a4": v + FINER, "b1": f + u - v, "b2": f, "b3": u + FINER,
            "c": v, "d": u, "threshold": v,
        }  # fmt: skip

    def coefficients(self, drive: Drive) -> Coefficients:
        """Rounded coefficients; dt is in them, and the bias of the drive in a4."""
        p, dt = self.neuron.coefficients(), self.neuron.settings.dt
        values = {name: torch.as_tensor(x, dtype=torch.float64) for name, x in p._asdict().items()}
        for name in ("a1", "a2", "a3", "a4", "b1", "b2", "b3", "gain"):
            values[name] = dt * values[name]
        if drive.bias is not None:
            values["a4"] = values["a4"] + values["gain"] * drive.bias.double()
        gain, _ = multiplied(values["gain"] * _gain(drive), self.formats.v.unit)
        found = {name: rounded(values[name], 2.0**f) for name, f in self.fractions().items()}
        return Coefficients(*(x.float() for x in (*found.values(), gain)))

    def forward(
        self, drive: Drive, state: IzhikevichState | None = None
    ) -> tuple[Tensor, IzhikevichState]:
        """Run over time, as izhi.Izhikevich does."""
        state = self.initial_state(drive.current[0]) if state is None else state
        bare = drive._replace(bias=None, gain=None)
        settings = replace(self.neuron.settings, formats=self.formats.of_kernels, dt=1.0)
        spikes, memory, v, u = kernels.izhikevich(
            bare, state.memory, state.v, state.u, self.coefficients(drive), settings,
            self.neuron.kernel,
        )  # fmt: skip
        return spikes, IzhikevichState(v, u, memory)

    def initial_state(self, current_t: Tensor) -> IzhikevichState:
        """The wrapped neuron's v0 and u0, rounded."""
        state = self.neuron.initial_state(current_t)
        v, u = 2.0**self.formats.v.fraction, 2.0**self.formats.u.fraction
        return IzhikevichState(rounded(state.v, v), rounded(state.u, u))

    def in_integers(self, drive: Drive) -> tuple[IzhikevichNeuron, Any, int]:
        """The neuron of izhi.fixed; multipliers and their shift."""
        f = self.formats
        wide = f.fraction + f.v.fraction
        places = {**self.fractions(), "a4": wide, "b3": f.fraction + f.u.fraction}
        p = self.coefficients(drive)._asdict()
        width = _width(drive)
        whole = {name: _integers(p[name], place, width) for name, place in places.items()}
        state = self.neuron.initial_state(torch.zeros(1, width))
        gain = torch.as_tensor(self.neuron.coefficients().gain).double() * self.neuron.settings.dt
        _, shift = multiplied(gain * _gain(drive), f.v.unit)
        neuron = IzhikevichNeuron(
            f.v, f.u, f.fraction, **whole,
            v0=_integers(rounded(state.v[0], 2.0**f.v.fraction), f.v.fraction, width),
            u0=_integers(rounded(state.u[0], 2.0**f.u.fraction), f.u.fraction, width),
        )  # fmt: skip
        return neuron, _integers(p["gain"], shift + f.v.fraction, width), shift


class QuantizedLIF(_Quantized[LIF]):
    """A LIF neuron in fixed-point numbers; see QuantizedIzhikevich.

    Raises:
        SettingError: for another reset than "subtract" in the step after the spike.
    """

    def __init__(self, neuron: LIF, formats: StateFormats) -> None:
        super().__init__(neuron, formats)
        if neuron.settings.reset != "subtract" or not neuron.settings.reset_delay:
            raise SettingError(
                f"reset is {neuron.settings.reset!r}, expected 'subtract', the one that hardware has"
            )

    def coefficients(self, drive: Drive) -> tuple[Tensor, ...]:
        """Rounded β, threshold, gain and bias."""
        f = self.formats
        beta, threshold = (torch.as_tensor(x).double() for x in self.neuron.coefficients())
        gain, _ = multiplied(_gain(drive), f.v.unit)
        bias = torch.zeros(1) if drive.bias is None else drive.bias
        found = (
            rounded(beta, 2.0**f.fraction), rounded(threshold, 2.0**f.v.fraction), gain,
            rounded(bias.double(), 2.0 ** (f.v.fraction + FINER)),
        )  # fmt: skip
        return tuple(x.float() for x in found)

    def forward(self, drive: Drive, state: LIFState | None = None) -> tuple[Tensor, LIFState]:
        """Run over time, as izhi.LIF does."""
        state = self.neuron.initial_state(drive.current[0]) if state is None else state
        bare = drive._replace(bias=None, gain=None)
        settings = replace(self.neuron.settings, formats=self.formats.of_kernels)
        spikes, memory, v = kernels.lif(
            bare, state.memory, state.v, self.coefficients(drive), settings, self.neuron.kernel
        )
        return spikes, LIFState(v, memory)

    def in_integers(self, drive: Drive) -> tuple[LIFNeuron, Any, int]:
        """The neuron of izhi.fixed; multipliers and their shift."""
        f, width = self.formats, _width(drive)
        beta, threshold, gain, bias = self.coefficients(drive)
        _, shift = multiplied(_gain(drive), f.v.unit)
        neuron = LIFNeuron(
            f.v, f.fraction, _integers(beta, f.fraction, width),
            _integers(bias, f.fraction + f.v.fraction, width), _integers(threshold, f.v.fraction, width),
        )  # fmt: skip
        return neuron, _integers(gain, shift + f.v.fraction, width), shift


def _gain(drive: Drive) -> Tensor:
    """The factor on the drive; 1 for one of plain currents."""
    return torch.ones(1).double() if drive.gain is None else drive.gain.double()


def _width(drive: Drive) -> int:
    return int(drive.current.shape[-1])


def _integers(value: Tensor, fraction: int, width: int) -> Any:
    """Values that are multiples of 2^-fraction as integers, (width,)."""
    whole = value.detach().double() * 2.0**fraction
    return whole.round().long().expand(width).numpy().copy()
