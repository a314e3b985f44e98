"""Connections whose weights are integers of a few bits, quantised by Brevitas."""

from __future__ import annotations

from typing import Any

import torch
from brevitas.nn import QuantLinear
from brevitas.quant import Int8WeightPerChannelFloatMSE, Int8WeightPerTensorFloatMSE
from torch import Tensor

from izhi.errors import SettingError
from izhi.kernels import Drive, Spikes, product
from izhi.kernels.reference import rounded
from izhi.network.connections import Connection, Linear, Product


def _quantizer(weight: Tensor, bits: int, per_neuron: bool) -> Any:
    """Brevitas' layer over a weight: integers of some bits, and a learned scale."""
    kind = Int8WeightPerChannelFloatMSE if per_neuron else Int8WeightPerTensorFloatMSE
    rows, columns = weight.shape
    layer = QuantLinear(columns, rows, bias=False, weight_quant=kind, weight_bit_width=bits)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.quant_weight()  # finds the scale, which only then is a parameter
    return layer


class QuantizedConnection(Connection):
    """A = Q·s[t] + R·z[t−1] in integers Q, R of some bits; the current is gain·A + bias.

    Args:
        connection: Linear, whose weights are taken over, with its feedback if it is recurrent.
        bits: of a weight, 2 to 8.
        per_neuron: whether each neuron has a scale of its own.
        integers: whether the neuron takes integers and their gain; else it gets plain currents.

    Raises:
        SettingError: for another connection, or number of bits.
    """

    input: Any

    def __init__(self, connection: Connection, bits: int, *, per_neuron: bool = False, integers: bool = True) -> None:
        if type(connection) is not Linear:
            raise SettingError(f"connection is {connection.kind}, expected Linear, which hardware has")
        if not 2 <= bits <= 8:
            raise SettingError(f"weight bits are {bits!r}, expected 2 to 8")
        super().__init__(connection.in_features, connection.out_features, bias=False)
        self.bits, self.gives_integers = bits, integers
        self.bias = connection.input.bias
        weight = connection.weight
        self.recurrent = connection.feedback is not None
        if connection.feedback is not None:
            # One scale for both, since they meet in one accumulator.
            weight = torch.cat([weight, connection.feedback.weight], 1)
        self.input = _quantizer(weight.detach(), bits, per_neuron)

    @property
    def weight(self) -> Tensor:
        """Rounded weights as currents, (out_features, in_features or more)."""
        value: Tensor = self.input.quant_weight().value
        return value

    def integers(self) -> tuple[Tensor, Tensor]:
        """Weights (out_features, in_features or more) as whole numbers, and their scale; differentiable."""
        quantized = self.input.quant_weight()
        scale = quantized.scale.reshape(-1)
        return rounded(quantized.value / quantized.scale, 1.0), scale

    def forward(self, spikes: Spikes, product: Product = product) -> Drive:
        self.check(spikes)
        weight, scale = self.integers() if self.gives_integers else (self.weight, None)
        feedback = weight[:, self.in_features :] if self.recurrent else None
        current = product(spikes, weight[:, : self.in_features])
        return Drive(current, bias=self.bias, feedback=feedback, gain=scale)


class QuantizedReadout(Connection):
    """A readout without neurons: 2^k·(Σ_i Q·s[t] + B) in integers Q and B; 2^k is near the weights' scale.

    Args:
        connection: Linear, whose weights and bias are taken over.
        bits: of a weight, 2 to 8.

    Raises:
        SettingError: for another connection, or number of bits.
    """

    input: Any

    def __init__(self, connection: Connection, bits: int) -> None:
        if type(connection) is not Linear or connection.feedback is not None:
            raise SettingError(f"the readout is {connection.kind}, expected Linear, which hardware has")
        if not 2 <= bits <= 8:
            raise SettingError(f"weight bits are {bits!r}, expected 2 to 8")
        super().__init__(connection.in_features, connection.out_features, bias=False)
        self.bits = bits
        self.bias = connection.input.bias
        self.input = _quantizer(connection.weight.detach(), bits, per_neuron=False)

    def integers(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights and bias as whole numbers, and the power of two; differentiable."""
        quantized = self.input.quant_weight()
        whole = rounded(quantized.value / quantized.scale, 1.0)
        bias = torch.zeros(self.out_features) if self.bias is None else self.bias
        power = 2.0 ** quantized.scale.detach().log2().round()
        return whole, rounded(bias / quantized.scale, 1.0), power

    def forward(self, spikes: Spikes, product: Product = product) -> Drive:
        self.check(spikes)
        whole, bias, power = self.integers()
        return Drive((product(spikes, whole) + bias) * power)
