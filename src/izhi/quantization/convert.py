"""A float network as a quantised one that can be trained further, and that one in plain integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch

from izhi.errors import SettingError
from izhi.hardware import fixed
from izhi.network.layers import Layer, Network
from izhi.quantization.connections import QuantizedConnection, QuantizedReadout
from izhi.quantization.neurons import (
    QuantizedIzhikevich,
    QuantizedLIF,
    StateFormats,
    quantized_neuron,
)


def quantized(
    network: Network,
    bits: int | None,
    formats: Sequence[StateFormats] | None,
    *,
    per_neuron: bool = False,
) -> Network:
    """A network with the same weights in integers of some bits and states in those formats.

    It is trained like the float network, which it shares biases and learned coefficients with.

    Args:
        network: of float weights and states.
        bits: of a weight, 2 to 8; None to leave weights as they are.
        formats: of each layer's states; None to leave states as they are.
        per_neuron: whether each neuron's weights have a scale of their own.

    Raises:
        SettingError: for what hardware does not have.
    """
    layers = []
    for number, module in enumerate(network.layers):
        layer = cast(Layer, module)
        neuron = layer.neuron
        if formats is not None:
            neuron = quantized_neuron(neuron, formats[number])
        connection = layer.connection
        if bits is not None:
            if layer.delay is not None:
                raise SettingError("delays are set, which hardware does not have; leave them out")
            connection = QuantizedConnection(connection, bits, per_neuron=per_neuron, integers=formats is not None)
        layers.append(Layer(connection, neuron, layer.delay))
    readout = network.readout
    if readout is not None and bits is not None:
        readout = QuantizedReadout(readout, bits)
    return Network(layers, readout, keep_every=network.keep_every, dropout=network.dropout, is_exact=True)


def in_integers(network: Network) -> fixed.Network:
    """A quantised network as the integer model: the same spikes in every step of every layer."""
    with torch.no_grad():
        layers = tuple(_layer(cast(Layer, layer)) for layer in network.layers)
        readout = None
        if network.readout is not None:
            whole, bias, _ = cast(QuantizedReadout, network.readout).integers()
            ones = torch.ones(len(whole), dtype=torch.int64)
            readout = fixed.Readout(
                whole.long().numpy(),
                cast(QuantizedReadout, network.readout).bits,
                ones.numpy(),
                bias.long().numpy(),
            )
    return fixed.Network(layers, readout)


def _layer(layer: Layer) -> fixed.Layer:
    connection = cast(QuantizedConnection, layer.connection)
    neuron = cast(QuantizedIzhikevich | QuantizedLIF, layer.neuron)
    drive = connection(torch.zeros(1, 1, connection.in_features))
    whole, _ = connection.integers()
    n = connection.in_features
    constants, multiplier, shift = neuron.in_integers(drive)
    return fixed.Layer(
        whole[:, :n].long().numpy(), connection.bits, multiplier, shift, neuron.formats.v, constants,
        whole[:, n:].long().numpy() if connection.recurrent else None,
    )  # fmt: skip
