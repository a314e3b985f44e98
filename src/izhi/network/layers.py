"""Networks: layers of connection and neuron in a row, and a readout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from izhi.errors import SettingError, ShapeError
from izhi.kernels import Drive, Spikes
from izhi.network.connections import Connection, Delay, currents
from izhi.neurons import Neuron, NeuronState
from izhi.neurons.silence import SilenceWatch


class LayerState(NamedTuple):
    """State of a layer with delays: its neurons', and the last steps (steps, B, in_features) that came in."""

    neuron: NeuronState
    past: Tensor


class Layer(nn.Module):
    """A connection and the neurons that it drives; before the connection, if wished, delays.

    Called with spikes (T, B, in_features) and a state or None; returns the layer's spikes
    (T, B, out_features) and the next state: the neurons', or a LayerState where there are delays.
    A layer that stays silent while it is trained says so in a SilentLayerWarning, once.
    """

    connection: Connection
    neuron: Neuron
    delay: Delay | None
    #: How warnings call it.
    name: str = "a layer"

    def __init__(self, connection: Connection, neuron: Neuron, delay: Delay | None = None) -> None:
        super().__init__()
        if delay is not None and delay.steps.shape not in (
            connection.weight.shape[1:],
            connection.weight.shape,
        ):
            raise ShapeError(
                f"delays have shape {tuple(delay.steps.shape)}, expected ({connection.in_features},) or"
                f" {tuple(connection.weight.shape)}, those of the connection"
            )
        self.connection, self.neuron, self.delay = connection, neuron, delay
        self.watch = SilenceWatch()

    def forward(self, spikes: Spikes, state: Any = None) -> tuple[Tensor, NeuronState | LayerState]:
        out, after = self._run(spikes, state)
        if self.training and not self.watch.is_over:
            sizes = f"{self.connection.in_features} → {self.connection.out_features}"
            self.watch.see(out, len(out), f"{self.name} ({sizes}, {self.neuron.kind})", stacklevel=5)
        return out, after

    def _run(self, spikes: Spikes, state: Any) -> tuple[Tensor, NeuronState | LayerState]:
        if self.delay is None:
            return self.neuron(self.connection(spikes), state)
        before = LayerState(None, None) if state is None else state  # type: ignore[arg-type]
        drive, past = self.drive(spikes, before.past)
        out, after = self.neuron(drive, before.neuron)
        return out, LayerState(after, cast(Tensor, past))

    def drive(self, spikes: Spikes, past: Tensor | None = None) -> tuple[Drive, Tensor | None]:
        """What the neurons receive from spikes and, with delays, from the steps before them."""
        if self.delay is None:
            return self.connection(spikes), None
        self.connection.check(spikes)
        arriving, past = self.delay(spikes, past)
        return self.connection(arriving, self.delay.product), past


class NetworkOutput(NamedTuple):
    """What a network returns.

    Attributes:
        output: what the loss reads, (T, B, classes): spikes of the last layer, or its currents.
        spikes: spikes of every layer of neurons, (T, B, features) each; empty if not recorded.
        state: the last state of every layer, to continue from.
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
        keep_every: None to keep, for the backward pass, what each step needs; k to keep the states of
            every k-th step only and to run the steps between them again, which makes the memory of
            long sequences k steps' and costs a second forward pass.
        dropout: share of the neurons of each layer that are silenced while training, for a whole
            sample; the others' spikes count 1/(1 − dropout).
        is_exact: whether it is evaluated in float32 whatever the precision of training, in which
            integers, and so quantised networks, are exact.
    """

    readout: Connection | None

    def __init__(
        self,
        layers: Sequence[Layer],
        readout: Connection | None = None,
        *,
        keep_every: int | None = None,
        dropout: float = 0.0,
        is_exact: bool = False,
    ) -> None:
        super().__init__()
        if not layers and readout is None:
            raise ShapeError("a network of no layers, expected at least one layer or a readout")
        if keep_every is not None and keep_every < 1:
            raise SettingError(f"keep_every is {keep_every!r}, expected at least 1 step, or None")
        self.layers = nn.ModuleList(layers)
        for number, layer in enumerate(layers, start=1):
            layer.name = f"layer {number}"
        if not 0 <= dropout < 1:
            raise SettingError(f"dropout is {dropout!r}, expected a share from 0 to below 1")
        self.readout = readout
        self.keep_every, self.dropout, self.is_exact = keep_every, dropout, is_exact

    def forward(self, spikes: Spikes, state: Sequence[Any] | None = None, *, record: bool = True) -> NetworkOutput:
        """Run spikes (T, B, in_features) through every layer.

        Args:
            spikes: what arrives at the first layer.
            state: of an earlier output, to go on from; None to start anew.
            record: whether the output holds the spikes of every layer.
        """
        before = list(state) if state else [None] * (len(self.layers) + 1)
        masks = self._masks(spikes)
        if not self.keep_every or not torch.is_grad_enabled() or len(spikes) <= self.keep_every:
            return self._run(spikes, before, masks, record)
        parts = []
        for part in spikes.split(self.keep_every):
            out = cast(
                NetworkOutput,
                checkpoint(
                    self._run,
                    part,
                    before,
                    masks,
                    record,
                    use_reentrant=False,
                    preserve_rng_state=False,
                ),
            )
            parts.append(out)
            before = out.state
        recorded = [torch.cat(x) for x in zip(*(part.spikes for part in parts), strict=True)]
        return NetworkOutput(torch.cat([part.output for part in parts]), recorded, before)

    def _masks(self, spikes: Spikes) -> list[Tensor | None]:
        """What the spikes of each layer are multiplied by, (B, features); None to leave them."""
        inner = len(self.layers) - (self.readout is None)
        if not (self.training and self.dropout):
            return [None] * len(self.layers)
        keep = 1 - self.dropout
        widths = [cast(Layer, layer).connection.out_features for layer in self.layers]
        shapes = [(spikes.shape[1], width) for width in widths[:inner]]
        drawn = [torch.rand(shape, device=spikes.device) < keep for shape in shapes]
        return [mask / keep for mask in drawn] + [None] * (len(self.layers) - inner)

    def _run(self, spikes: Spikes, before: list[Any], masks: list[Tensor | None], record: bool) -> NetworkOutput:
        recorded: list[Tensor] = []
        after = []
        for layer, layer_state, mask in zip(self.layers, before, masks, strict=False):
            out, layer_state = cast(Layer, layer)(spikes, layer_state)
            spikes = out if mask is None else out * mask.to(out.dtype)
            if record:
                recorded.append(out)
            after.append(layer_state)
        if self.readout is None:
            return NetworkOutput(out, recorded, after)
        current, traces = currents(self.readout(spikes), before[len(self.layers)])
        after.append(traces)
        return NetworkOutput(current, recorded, after)


def first_nonfinite(network: Network, spikes: Spikes) -> str | None:
    """Where a forward pass first leaves the finite numbers: ``"layer 1, time step 3"``, or None."""
    with torch.no_grad():
        if isinstance(spikes, Tensor) and not torch.isfinite(spikes).all():
            return "the input"
        for number, module in enumerate(network.layers, start=1):
            layer = cast(Layer, module)
            drive, _ = layer.drive(spikes)
            spikes, _ = layer(spikes)
            for tensor in (drive.current, drive.conductance, cast(Tensor, spikes)):
                if tensor is not None and not torch.isfinite(tensor).all():
                    return f"layer {number}, time step {_first_step(tensor)}"
        readout = network.readout
        if readout is not None:
            current, _ = currents(readout(spikes), None)
            if not torch.isfinite(current).all():
                return f"the readout, time step {_first_step(current)}"
    return None


def _first_step(tensor: Tensor) -> int:
    bad = ~torch.isfinite(tensor).flatten(1).all(dim=1)
    return int(bad.nonzero()[0])


__all__ = ["Layer", "LayerState", "Network", "NetworkOutput", "first_nonfinite"]
