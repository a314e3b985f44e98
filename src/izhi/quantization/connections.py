"""Connections with weights in integers of a few bits, quantised by Brevitas."""

from __future__ import annotations

from typing import Any

import torch
from brevitas.nn import QuantConv1d, QuantConv2d, QuantLinear
from brevitas.quant import Int8WeightPerChannelFloatMSE, Int8WeightPerTensorFloatMSE
from torch import Tensor, nn

from izhi.errors import SettingError
from izhi.hardware import fixed
from izhi.kernels import AnyInput, Spikes, Synapse, SynapticInput, WeightedSpikes
from izhi.kernels.torch_step import rounded
from izhi.kernels.tracing import is_transformed
from izhi.network.connections import Connection
from izhi.network.delays import Delay
from izhi.network.synapses import ConductanceSynapse, fixed_point_filter
from izhi.neurons.neuron import clamp_straight_through
from izhi.quantization.neurons import StateFormats, gain_of, grid_of, in_formats, integers_of, multiplied
from izhi.quantization.requirements import check_readout, unsupported_connection


def _quantizer(weights: nn.Module, weight: Tensor, bits: int, per_neuron: bool) -> Any:
    """Brevitas' layer of a weight in integers of some bits and a scale; the module has the sizes of a convolution."""
    kind = Int8WeightPerChannelFloatMSE if per_neuron else Int8WeightPerTensorFloatMSE
    options: dict[str, Any] = {"bias": False, "weight_quant": kind, "weight_bit_width": bits}
    layer: Any
    if isinstance(weights, nn.Linear):
        layer = QuantLinear(weight.shape[1], weight.shape[0], **options)
    else:
        own: Any = weights
        quantized = QuantConv1d if isinstance(weights, nn.Conv1d) else QuantConv2d
        layer = quantized(
            own.in_channels, own.out_channels, own.kernel_size, own.stride, own.padding, own.dilation, own.groups,
            **options,
        )  # fmt: skip
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.quant_weight()  # computes the scale, which only then is a parameter
    return layer


def _rounded_weight(layer: Any) -> Any:
    """The weight of Brevitas' layer in integers and its scale."""
    if is_transformed():
        raise SettingError(
            "the network is quantised by Brevitas, which torch.func cannot transform; use loss.backward()"
        )
    return layer.quant_weight()


def _check_bits(bits: int) -> None:
    if not 2 <= bits <= 8:
        raise SettingError(f"weight bits are {bits!r}, expected 2 to 8")


class QuantizedConnection(Connection):
    """A = Q·s[t] + R·z[t−1] in integers Q, R of some bits; the current is gain·A + bias.

    Args:
        connection: Linear or a convolution, whose weights and synapse are copied, with the feedback of Linear.
        bits: of a weight, 2 to 8.
        per_neuron: whether each neuron, or channel, has a scale of its own.
        integers: whether the neuron takes integers and their gain; else currents.
        unit: of the inputs, which are integers times the unit: 1/k² behind a mean over k×k.

    Raises:
        SettingError: for another connection or number of bits.
    """

    def __init__(
        self, connection: Connection, bits: int, *, per_neuron: bool = False, integers: bool = True, unit: float = 1.0
    ) -> None:
        is_linear = isinstance(connection.input, nn.Linear)
        if isinstance(connection.synapse, ConductanceSynapse) or (connection.feedback is not None and not is_linear):
            raise unsupported_connection(connection.kind)
        _check_bits(bits)
        weight = connection.weight
        if connection.feedback is not None:
            # One scale for both, since one accumulator sums them; the unit is that of the inputs alone.
            weight = torch.cat([weight, connection.feedback.weight / unit], 1)
        super().__init__(_quantizer(connection.input, weight.detach(), bits, per_neuron))
        self.synapse = connection.synapse
        self.bits, self.gives_integers, self.unit = bits, integers, unit
        self.bias = connection.input.bias
        self.recurrent, self._inputs = connection.feedback is not None, connection.inputs

    @property
    def inputs(self) -> int:
        return self._inputs

    @property
    def weight(self) -> Tensor:
        """Rounded weights as currents; recurrent weights are further columns."""
        value: Tensor = _rounded_weight(self.input).value
        return value

    def integers(self) -> tuple[Tensor, Tensor]:
        """Weights as integers, and their scale; differentiable."""
        quantized = _rounded_weight(self.input)
        scale = quantized.scale.reshape(-1)
        return rounded(quantized.value / quantized.scale, 1.0), scale

    def forward(self, spikes: Spikes, delay: Delay | None = None) -> SynapticInput:
        self.check(spikes)
        weight, bias, synapse, scale = self._terms()
        feedback = weight[:, self.inputs :] if self.recurrent else None
        current = self.product(spikes, weight[:, : self.inputs] if self.recurrent else weight)
        return SynapticInput(current, bias=bias, synapse=synapse, feedback=feedback, gain=scale)

    def weigh(self, spikes: Spikes, delay: Delay | None = None) -> SynapticInput | WeightedSpikes:
        return self(spikes, delay) if self.recurrent else super().weigh(spikes, delay)

    def _terms(self) -> tuple[Tensor, Tensor | None, Synapse | None, Tensor | None]:
        weight, scale = self.integers() if self.gives_integers else (self.unit * self.weight, None)
        bias = None if self.bias is None else self.at_every_place(self.bias)
        if scale is not None:
            scale = self.unit * scale
            scale = self.at_every_place(scale) if len(scale) > 1 else scale
        return weight, bias, None if self.synapse is None else self.synapse.dynamics, scale

    @property
    def largest_scale(self) -> float:
        """The largest scale of the neuron's input."""
        return self.unit * float(self.integers()[1].detach().max()) if self.gives_integers else 1.0


class QuantizedMembrane(QuantizedConnection):
    """A readout with a membrane in integers, see ``fixed.IntegerReadout``; its currents are in double precision.

    Args:
        connection: Linear with an ExponentialSynapse, which are copied as by ``QuantizedConnection``.
        bits: of a weight, 2 to 8.
        formats: of its sums (``trace``) and of its currents (``v``).
        unit: of the inputs, see ``QuantizedConnection``.
    """

    def __init__(self, connection: Connection, bits: int, formats: StateFormats, *, unit: float = 1.0) -> None:
        super().__init__(connection, bits, unit=unit)
        self.format: Tensor
        self.register_buffer("format", formats.of_sums(self.largest_scale).as_tensor())

    @property
    def formats(self) -> StateFormats:
        """The formats, kept in a buffer, which checkpoints hold."""
        return StateFormats.of_tensor(self.format, 1)

    def _rounded(self, drive: AnyInput, formats: StateFormats) -> tuple[Tensor, int, Tensor]:
        """The factor of the sums and its shift, and the bias, in units of the currents."""
        number = formats.v
        factor, shift = multiplied(gain_of(drive), number.unit)
        bias = torch.zeros(1) if drive.bias is None else drive.bias
        return factor, shift, rounded(bias.double(), 2.0**number.fraction)

    def read_out(self, spikes: Spikes, trace: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        formats = self.formats
        drive, grid = in_formats(self(spikes), formats), grid_of(formats.v)
        factor, _, bias = self._rounded(drive, formats)
        assert drive.synapse is not None, "a membrane has a synapse"
        sums = fixed_point_filter(drive.current, drive.synapse, trace)
        return clamp_straight_through(rounded(sums * factor, grid.scale), grid.low, grid.high) + bias, sums[-1]

    def in_integers(self, pools: tuple[fixed.Pool, ...]) -> fixed.IntegerReadout:
        """The readout of izhi.fixed behind pools."""
        formats, shape = self.formats, (self.outputs,)
        drive = in_formats(self(torch.zeros(1, 1, self.inputs)), formats)
        factor, shift, bias = self._rounded(drive, formats)
        assert drive.synapse is not None, "a membrane has a synapse"
        assert formats.trace is not None, "a membrane has a format of its sums"
        weight, _ = self.integers()
        membrane = fixed.IntegerMembrane(
            formats.trace, integers_of(drive.synapse.decay, formats.fraction, shape), formats.fraction,
            shift + formats.sum_fraction, formats.v,
        )  # fmt: skip
        return fixed.IntegerReadout(
            weight.long().numpy(), self.bits, integers_of(factor, shift + formats.v.fraction, shape),
            integers_of(bias, formats.v.fraction, shape), membrane=membrane, pools=pools,
        )  # fmt: skip


class QuantizedReadout(Connection):
    """A readout without neurons: 2^k·(Σ_i Q·s[t] + B) in integers Q and B; 2^k is near the weights' scale.

    Args:
        connection: Linear, whose weights and bias are copied.
        bits: of a weight, 2 to 8.
        unit: of the inputs, see ``QuantizedConnection``.

    Raises:
        SettingError: for another connection or number of bits.
    """

    def __init__(self, connection: Connection, bits: int, *, unit: float = 1.0) -> None:
        check_readout(isinstance(connection.input, nn.Linear) and connection.is_plain, connection.kind)
        _check_bits(bits)
        super().__init__(_quantizer(connection.input, connection.weight.detach(), bits, per_neuron=False))
        self.bits, self.unit = bits, unit
        self.bias = connection.input.bias

    def integers(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights and bias as integers, and the power of two; differentiable."""
        quantized = _rounded_weight(self.input)
        whole = rounded(quantized.value / quantized.scale, 1.0)
        bias = torch.zeros(len(whole)) if self.bias is None else self.bias
        scale = quantized.scale * self.unit
        return whole, rounded(bias / scale, 1.0), 2.0 ** scale.detach().log2().round()

    def forward(self, spikes: Spikes, delay: Delay | None = None) -> SynapticInput:
        self.check(spikes)
        whole, bias, power = self.integers()
        return SynapticInput((self.product(spikes, whole) + bias) * power)


def quantized_readout(
    connection: Connection, bits: int, formats: StateFormats | None, *, unit: float = 1.0
) -> Connection:
    """A readout of rounded weights.

    Args:
        connection: Linear, with an ExponentialSynapse or none.
        bits: of a weight, 2 to 8.
        formats: of a membrane; None for one in floats.
        unit: of the inputs, see ``QuantizedConnection``.

    Raises:
        SettingError: for another connection or number of bits.
    """
    if connection.synapse is None:
        return QuantizedReadout(connection, bits, unit=unit)
    is_supported = connection.feedback is None and not isinstance(connection.synapse, ConductanceSynapse)
    check_readout(isinstance(connection.input, nn.Linear) and is_supported, connection.kind)
    if formats is None:
        return QuantizedConnection(connection, bits, integers=False, unit=unit)
    return QuantizedMembrane(connection, bits, formats, unit=unit)
