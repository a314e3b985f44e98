"""Networks: layers of connection and neuron in a row, and a readout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from izhi.connections import Connection, Recurrent
from izhi.errors import ShapeError
from izhi.kernels import Drive
from izhi.neurons import LIF, Izhikevich

Neuron = Izhikevich | LIF


class LayerState(NamedTuple):
    """What a layer carries from one call to the next."""

    connection: Tensor | None
    neuron: Any
    spikes: Tensor | None


class Layer(nn.Module):
    """A connection and the neurons that it drives.

    Called with spikes (T, B, in_features) and a LayerState or None; returns the layer's spikes
    (T, B, out_features) and its next state.
    """

    connection: Connection
    neuron: Neuron

    def __init__(self, connection: Connection, neuron: Neuron) -> None:
        super().__init__()
        self.connection, self.neuron = connection, neuron

    def forward(self, spikes: Tensor, state: LayerState | None = None) -> tuple[Tensor, LayerState]:
        before = state or LayerState(None, None, None)
        drive, connection = self.connection(spikes, before.connection)
        if isinstance(self.connection, Recurrent):
            out, neuron = self._run_recurrent(drive.current, before)
        else:
            out, neuron = self.neuron(drive, before.neuron)
        return out, LayerState(connection, neuron, out[-1])

    def _run_recurrent(self, current: Tensor, before: LayerState) -> tuple[Tensor, Any]:
        assert isinstance(self.connection, Recurrent)
        neuron, out, outputs = before.neuron, before.spikes, []
        for current_t in current:
            if out is not None:
                current_t = current_t + self.connection.feedback(out)
            out, neuron = self.neuron.step(current_t, neuron)
            outputs.append(out)
        return torch.stack(outputs), neuron


class NetworkOutput(NamedTuple):
    """What a network returns.

    Attributes:
        output: what the loss reads, (T, B, classes): spikes of the last layer, or its currents.
        spikes: spikes of every layer of neurons, (T, B, features) each.
        state: states to go on from.
    """

    output: Tensor
    spikes: list[Tensor]
    state: list[Any]


class Network(nn.Module):
    """Layers in a row, then a readout.

    Args:
        layers: at least one Layer, unless there is a readout.
        readout: a connection without neurons, whose currents are the output (for example Linear:
            weighted spikes, summed over time by the loss; ExponentialSynapse: a leaky membrane). None
            to read the spikes of the last layer.
    """

    readout: Connection | None

    def __init__(self, layers: Sequence[Layer], readout: Connection | None = None) -> None:
        super().__init__()
        if not layers and readout is None:
            raise ShapeError("a network of no layers, expected at least one layer or a readout")
        self.layers = nn.ModuleList(layers)
        self.readout = readout

    def forward(self, spikes: Tensor, state: Sequence[Any] | None = None) -> NetworkOutput:
        """Run spikes (T, B, in_features) through every layer."""
        before: Sequence[Any] = state or [None] * (len(self.layers) + 1)
        recorded, after = [], []
        for layer, layer_state in zip(self.layers, before, strict=False):
            spikes, layer_state = layer(spikes, layer_state)
            recorded.append(spikes)
            after.append(layer_state)
        if self.readout is None:
            return NetworkOutput(spikes, recorded, after)
        drive, readout_state = self.readout(spikes, before[len(self.layers)])
        after.append(readout_state)
        return NetworkOutput(drive.current, recorded, after)


def first_nonfinite(network: Network, spikes: Tensor) -> str | None:
    """Where a forward pass first leaves the finite numbers: ``"layer 1, time step 3"``, or None."""
    with torch.no_grad():
        if not torch.isfinite(spikes).all():
            return "the input"
        for number, module in enumerate(network.layers, start=1):
            layer = cast(Layer, module)
            drive, _ = layer.connection(spikes)
            spikes, _ = layer(spikes)
            for tensor in (*drive, spikes):
                if tensor is not None and not torch.isfinite(tensor).all():
                    return f"layer {number}, time step {_first_step(tensor)}"
        readout = network.readout
        if readout is not None:
            current = readout(spikes)[0].current
            if not torch.isfinite(current).all():
                return f"the readout, time step {_first_step(current)}"
    return None


def _first_step(tensor: Tensor) -> int:
    bad = ~torch.isfinite(tensor).flatten(1).all(dim=1)
    return int(bad.nonzero()[0])


__all__ = ["Drive", "Layer", "LayerState", "Network", "NetworkOutput", "first_nonfinite"]
