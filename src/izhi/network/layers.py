"""A layer: a connection and the neurons that it drives."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias, cast

from torch import Tensor, nn

from izhi.errors import SettingError, ShapeError
from izhi.kernels import Spikes, SynapticInput
from izhi.network.connections import Connection
from izhi.network.delays import Delay, SynapticDelay
from izhi.network.normalization import BatchNorm
from izhi.network.synapses import ConductanceSynapse
from izhi.neurons import Neuron, NeuronState
from izhi.neurons.silence import SilenceWatch
from izhi.neurons.state import Target, detached, moved

#: The state of a module: that of a layer, a list of those of a residual block, None of a module without state.
State: TypeAlias = Any


class LayerState(NamedTuple):
    """State of a layer with delays: its neurons', and the last inputs (steps, B, in_features)."""

    neuron: NeuronState
    past: Tensor

    def detach(self) -> LayerState:
        """The same state without its history, see ``izhi.neurons.state.detached``."""
        return detached(self)

    def to(self, target: Target) -> LayerState:
        """The same state on another device or in another dtype."""
        return moved(self, target)


class Layer(nn.Module):
    """A connection and the neurons that it drives, optionally with delays before it and normalisation behind it.

    A call takes spikes (T, B, *features) and a state or None. It returns the layer's spikes and the next state: that of
    the neurons, or a LayerState if there are delays.
    A layer that stays silent during training raises a SilentLayerWarning, once.

    Args:
        connection: weights, with synapse and recurrence.
        neuron: of any kind.
        delay: of the incoming spikes; None for none.
        norm: of the weighted spikes; None for none.

    Raises:
        ShapeError: for delays of other sizes than the connection's.
        SettingError: for normalised conductances, or synaptic delays of a convolution in groups.
    """

    connection: Connection
    neuron: Neuron
    delay: Delay | None
    norm: BatchNorm | None
    #: Its name in messages.
    name: str = "a layer"

    def __init__(
        self, connection: Connection, neuron: Neuron, delay: Delay | None = None, norm: BatchNorm | None = None
    ) -> None:
        super().__init__()
        if delay is not None and delay.steps.shape not in ((connection.inputs,), connection.weight.shape):
            raise ShapeError(
                f"delays have shape {tuple(delay.steps.shape)}, expected ({connection.inputs},) or"
                f" {tuple(connection.weight.shape)}, those of the connection"
            )
        if norm is not None and isinstance(connection.synapse, ConductanceSynapse):
            raise SettingError("norm is set, but conductances are not normalised; use a current")
        if isinstance(delay, SynapticDelay) and getattr(connection.input, "groups", 1) > 1:
            raise SettingError("delays of each synapse are set, which a convolution in groups has not; use AxonalDelay")
        self.connection, self.neuron, self.delay, self.norm = connection, neuron, delay, norm
        self.watch = SilenceWatch()

    def forward(
        self, spikes: Spikes, state: State = None, more: Tensor | None = None
    ) -> tuple[Tensor, NeuronState | LayerState]:
        """Run over time; ``more`` is added to the weighted spikes."""
        out, after = self._run(spikes, state, more)
        if self.training and not self.watch.is_over:
            self.watch.see(out, len(out), f"{self.name} ({self.connection.sizes}, {self.neuron.kind})", stacklevel=5)
        return out, after

    def _run(self, spikes: Spikes, state: State, more: Tensor | None) -> tuple[Tensor, NeuronState | LayerState]:
        before = state if self.delay is None else state or LayerState(None, None)  # type: ignore[arg-type]
        drive, past = self.drive(spikes, None if self.delay is None else before.past, more)
        if self.delay is None:
            return self.neuron(drive, before)
        out, after = self.neuron(drive, before.neuron)
        return out, LayerState(after, cast(Tensor, past))

    def drive(
        self, spikes: Spikes, past: Tensor | None = None, more: Tensor | None = None
    ) -> tuple[SynapticInput, Tensor | None]:
        """The input of the neurons from spikes and, with delays, from the steps before; ``more`` is added to it."""
        if self.delay is None:
            found, past = self.connection(spikes), None
        else:
            self.connection.check(spikes)
            arriving, past = self.delay(spikes, past)
            found = self.connection(arriving, self.delay)
        if self.norm is not None:
            found = found._replace(current=self.norm(found.current))
        if more is not None:
            found = found._replace(current=found.current + more)
        return found, past


__all__ = ["Layer", "LayerState", "State"]
