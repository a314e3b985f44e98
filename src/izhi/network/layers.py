"""A layer: a connection and the neurons that it drives, and the normalisation of their currents."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor, nn

from izhi.errors import SettingError, ShapeError
from izhi.kernels import Spikes, SynapticInput, is_repeated, once
from izhi.kernels.tracing import has_hooks, is_traced
from izhi.network.connections import Connection
from izhi.network.delays import Delay, SynapticDelay
from izhi.network.synapses import ConductanceSynapse
from izhi.neurons import Neuron, NeuronState
from izhi.neurons.silence import SilenceWatch
from izhi.neurons.state import Target, detach, moved
from izhi.spec.connection import require_one_tau


class BatchNorm(nn.Module):
    """Threshold-dependent batch normalisation of a layer's currents (Zheng et al. 2021), over time, batch and position.

        I ← λ·(I − μ)/√(σ² + ε),   λ = scale at first

    μ and σ² are those of a batch in training, and their running means in evaluation. The connection's bias is added
    after it. It folds into weights: W·λ/√(σ² + ε) and bias − λ·μ/√(σ² + ε).

    Args:
        features: neurons, or channels of a convolution.
        scale: initial spread of the currents, such as the neurons' threshold.
        momentum: of the running means.
        eps: ε.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, features: int, scale: float = 1.0, *, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        for name, value in (("features", features), ("scale", scale), ("momentum", momentum), ("eps", eps)):
            if not value > 0:
                raise SettingError(f"{name} is {value!r}, expected a number above 0")
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.full((features,), float(scale)))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("variance", torch.ones(features))

    def forward(self, current: Tensor) -> Tensor:
        """Currents (T, B, features, *places), normalised."""
        if is_repeated(current):
            return once(self, current)
        normalised = nn.functional.batch_norm(
            current.flatten(0, 1), self.mean, self.variance, self.weight, None, self.training, self.momentum, self.eps
        )
        return normalised.view(current.shape)

    def folded(self) -> tuple[Tensor, Tensor]:
        """In evaluation: the factor on each feature's weights, and the decrease of its bias, (features,) each."""
        factor = self.weight / torch.sqrt(self.variance + self.eps)
        return factor, factor * self.mean

    def extra_repr(self) -> str:
        return str(len(self.weight))


def folded(connection: Connection, norm: BatchNorm) -> Connection:
    """A connection whose weights and bias include the normalisation in evaluation."""
    whole = copy.deepcopy(connection)
    factor, lost = norm.folded()
    with torch.no_grad():
        whole.parameter().mul_(factor.view(-1, *[1] * (whole.weight.dim() - 1)))
        bias = torch.zeros(len(factor)) if whole.input.bias is None else whole.input.bias
        whole.input.bias = nn.Parameter(bias - lost)
    return whole


#: The state of a module: that of a layer, a list of those of a residual block, None of a module without state.
ModuleState: TypeAlias = Any


class LayerState(NamedTuple):
    """ModuleState of a layer with delays: its neurons', and the last inputs (steps, B, in_features)."""

    neuron: NeuronState
    past: Tensor

    def detach(self) -> LayerState:
        """The same state without its history, see ``izhi.neurons.state.detach``."""
        return detach(self)

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
        if connection.synapse is not None and connection.synapse.logit.dim():
            require_one_tau(connection.synapse.spec)
        if isinstance(delay, SynapticDelay) and getattr(connection.input, "groups", 1) > 1:
            raise SettingError("delays of each synapse are set, which a convolution in groups has not; use AxonalDelay")
        self.connection, self.neuron, self.delay, self.norm = connection, neuron, delay, norm
        self.watch = SilenceWatch()

    def forward(
        self, spikes: Spikes, state: ModuleState = None, more: Tensor | None = None
    ) -> tuple[Tensor, NeuronState | LayerState]:
        """Run over time; ``more`` is added to the weighted spikes."""
        out, after = self._run(spikes, state, more)
        if self.training and not self.watch.is_over:
            self.watch.see(out, len(out), f"{self.name} ({self.connection.sizes}, {self.neuron.kind})", stacklevel=5)
        return out, after

    def _run(self, spikes: Spikes, state: ModuleState, more: Tensor | None) -> tuple[Tensor, NeuronState | LayerState]:
        before = state if self.delay is None else state or LayerState(None, None)  # type: ignore[arg-type]
        weigh = self.connection.weigh if more is None and self._can_fuse() else self.connection
        drive, past = self.drive(spikes, None if self.delay is None else before.past, more, weigh=weigh)
        if self.delay is None:
            return self.neuron(drive, before)
        out, after = self.neuron(drive, before.neuron)
        return out, LayerState(after, cast(Tensor, past))

    def drive(
        self, spikes: Spikes, past: Tensor | None = None, more: Tensor | None = None, *,
        weigh: Callable[..., Any] | None = None,
    ) -> tuple[SynapticInput, Tensor | None]:  # fmt: skip
        """The input of the neurons from spikes and, with delays, from the steps before; ``more`` is added to it.

        ``weigh`` is the method of that name of the connection; None for the connection itself.
        """
        weigh = weigh or self.connection
        if self.delay is None:
            drive, past = weigh(spikes), None
        else:
            self.connection.check(spikes)
            arriving, past = self.delay(spikes, past)
            drive = weigh(arriving, self.delay)
        if self.norm is not None:
            drive = drive._replace(current=self.norm(drive.current))
        if more is not None:
            drive = drive._replace(current=drive.current + more)
        return drive, past

    def _can_fuse(self) -> bool:
        """Whether nothing between connection and neurons needs the currents: no normalisation, hook or own forward."""
        connection, neuron = self.connection, self.neuron
        return (
            self.norm is None
            and _runs_as(connection, "weigh")
            and _runs_as(neuron, "takes_spikes")
            and not (has_hooks(connection) or has_hooks(neuron) or is_traced())
        )


def _runs_as(module: object, mark: str) -> bool:
    """Whether the class that defines ``forward`` of a module defines a mark as well."""
    return mark in vars(next((kind for kind in type(module).__mro__ if "forward" in vars(kind)), object))
