"""One builder for networks of other libraries: the description of a network, and the arrays of its parameters."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from izhi.errors import ExchangeError, IzhiError, shown
from izhi.network import Network
from izhi.network.builder import build
from izhi.network.sequence import each_step
from izhi.spec.connection import ConnectionSpec, ConvolutionSpec, DelaySpec, LinearSpec, SynapseSpec
from izhi.spec.modules import LayerSpec, ModuleSpec, UnflattenSpec
from izhi.spec.network import NetworkSpec
from izhi.spec.neuron import NeuronSpec
from izhi.spec.tables import Shape

Numbers: TypeAlias = NDArray[np.float64]

#: Features of a sample, or neurons of a layer, at most.
MAX_FEATURES = 1 << 22


@dataclass
class PendingWeights:
    """Weights of a layer or readout whose neurons are not known so far."""

    label: str  #: name of the node or module that holds them, for messages
    weight: Numbers  #: (outputs, inputs, …)
    bias: Numbers  #: (outputs,), zeros for none
    features: Shape  #: of the output
    window: Mapping[str, Any] = field(default_factory=dict)  #: stride, padding, dilation and groups of a convolution

    def scale(self, factor: Numbers | float) -> None:
        """Multiply the output by one factor, or by one of each channel or neuron, (outputs,)."""
        each = np.broadcast_to(factor, (len(self.weight),))
        self.weight = self.weight * each.reshape(-1, *[1] * (self.weight.ndim - 1))
        self.bias = self.bias * each

    def connection(self, synapse: SynapseSpec | None, recurrent: bool) -> ConnectionSpec:
        """The description of a connection with these weights."""
        outputs, inputs, *kernel = self.weight.shape
        behind: dict[str, Any] = {"outputs": outputs, "synapse": synapse, "recurrent": recurrent}
        if not kernel:
            return LinearSpec(inputs=inputs, **behind)
        groups = self.window.get("groups", 1)
        return ConvolutionSpec(inputs=inputs * groups, kernel=tuple(kernel), **{**self.window, **behind})


class BuiltModule(NamedTuple):
    """A module of a network."""

    spec: ModuleSpec  #: its description
    arrays: Mapping[str, Numbers] = MappingProxyType({})  #: its parameters by their names in ``state_dict``
    kept: nn.Module | None = None  #: the module itself, if no description covers it: a pool with padding

    def shape(self, features: Shape) -> Shape:
        """Features of its output; ShapeError if it does not take such features."""
        if self.kept is None:
            return self.spec.shape(features)
        return tuple(each_step(self.kept, torch.zeros(1, 1, *features)).shape[2:])


@dataclass
class NetworkBuilder:
    """The description of a network, module by module, and its parameters."""

    modules: list[BuiltModule] = field(default_factory=list)  #: so far
    readout: ConnectionSpec | None = None  #: at the end, or None
    readout_arrays: dict[str, Numbers] = field(default_factory=dict)  #: its parameters
    #: weights that the next neurons complete to a layer, or the end to a readout
    pending: PendingWeights | None = None

    def add(self, spec: ModuleSpec, kept: nn.Module | None = None) -> None:
        """Add a module without parameters: of a description, or a copy of the torch module that stands in its place."""
        self.modules.append(BuiltModule(spec, kept=copy.deepcopy(kept)))

    def add_weights(self, weights: PendingWeights) -> None:
        """Add weights; ExchangeError if other weights precede them without neurons between."""
        if self.pending is not None:
            raise ExchangeError(f"{weights.label} follows {self.pending.label} without neurons between, expected them")
        self.pending = weights

    def add_layer(
        self, neuron: NeuronSpec, learned: Mapping[str, Numbers], *, synapse: SynapseSpec | None = None,
        feedback: Numbers | None = None, delay: Numbers | None = None,
    ) -> None:  # fmt: skip
        """Complete the pending weights to a layer.

        Args:
            neuron: of the layer.
            learned: values of the learned coefficients, which broadcast to the neuron's size.
            synapse: between weights and neurons.
            feedback: recurrent weights, of the shape that the connection has them.
            delay: steps of each presynaptic neuron or channel.
        """
        weights, connection, arrays = self._complete(synapse, feedback)
        arrays = {f"connection.{name}": values for name, values in arrays.items()}
        for name in neuron.learn:
            try:
                arrays[f"neuron.learned.{name}"] = np.broadcast_to(learned[name], neuron.size or ())
            except ValueError:
                raise ExchangeError(
                    f"neurons behind {weights.label} have {name} of shape {learned[name].shape}, expected"
                    f" {neuron.size} or one number"
                ) from None
        steps = None
        if delay is not None:
            steps, arrays["delay.steps"] = DelaySpec("axonal", max(1, int(delay.max()))), delay
        self.modules.append(BuiltModule(LayerSpec(connection, neuron, weights.features, steps), arrays))

    def add_readout(self, synapse: SynapseSpec | None = None, arrays: Mapping[str, Numbers] | None = None) -> None:
        """Complete the pending weights to the readout, with further parameters; ExchangeError for a convolution."""
        weights, self.readout, own = self._complete(synapse, None)
        self.readout_arrays = {**own, **(arrays or {})}
        if weights.weight.ndim != 2:
            raise ExchangeError(f"the network ends in {weights.label}, expected neurons or a matrix at its end")

    def _complete(
        self, synapse: SynapseSpec | None, feedback: Numbers | None
    ) -> tuple[PendingWeights, ConnectionSpec, dict[str, Numbers]]:
        """The pending weights, their connection, and its parameters."""
        weights, self.pending = self.pending, None
        assert weights is not None, "weights precede neurons"
        connection = weights.connection(synapse, feedback is not None)
        arrays = {"input.weight": weights.weight, "input.bias": weights.bias}
        if feedback is not None:
            arrays["feedback.weight"] = feedback
            if feedback.shape != connection.feedback_shape:
                raise ExchangeError(
                    f"recurrent weights behind {weights.label} have shape {feedback.shape}, expected"
                    f" {connection.feedback_shape}"
                )
        return weights, connection, arrays

    def build(self, features: Shape) -> Network:
        """The torch network, for samples of flat features, which have this shape before they are flattened.

        Raises:
            ExchangeError: if a module does not take the output of the one before it.
        """
        first = [BuiltModule(UnflattenSpec(features))] if len(features) > 1 else []
        modules = [*first, *self.modules]
        try:
            spec = NetworkSpec(tuple(x.spec for x in modules), self.readout)
            out: Shape = (math.prod(features),)
            for module in modules:
                out = module.shape(out)
            if self.readout is not None:
                self.readout.shape(out)
            network = build(spec)
        except IzhiError as error:
            raise ExchangeError(f"the modules do not fit one another: {error}") from None
        for index, module in enumerate(modules):
            if module.kept is not None:
                network.layers[index] = module.kept
        by_prefix = {f"layers.{index}.": module.arrays for index, module in enumerate(modules)}
        by_prefix["readout."] = self.readout_arrays
        tensors = {
            prefix + name: torch.from_numpy(np.array(values, np.float64))
            for prefix, arrays in by_prefix.items() for name, values in arrays.items()
        }  # fmt: skip
        for name, tensor in tensors.items():
            if not torch.isfinite(tensor.float()).all():
                raise ExchangeError(
                    f"{name} has values up to {float(tensor.abs().max()):g}, which float32 does not hold; scale the"
                    " network down"
                )
        unknown = network.load_state_dict(tensors, strict=False).unexpected_keys
        assert not unknown, unknown
        return network


def as_numbers(value: Tensor | float) -> Numbers:
    """A tensor, or a number, as an array of double precision."""
    tensor = torch.as_tensor(value, dtype=torch.float64 if isinstance(value, float) else None)
    return np.asarray(tensor.detach().double().cpu())


def check_size(features: Shape, where: str) -> None:
    """Raise ExchangeError for features without end, before memory is allocated for them."""
    if not features or min(features) < 1 or math.prod(features) > MAX_FEATURES:
        raise ExchangeError(f"features {where} are {shown(features)}, expected 1 to {MAX_FEATURES:,} of them")


def as_scalar(values: Numbers) -> Numbers:
    """Equal values as one, of shape ()."""
    return values.ravel()[0].reshape(()) if values.size and (values == values.ravel()[0]).all() else values


def compact(values: Numbers, features: Shape, label: str) -> Numbers:
    """Values as one if all are equal, else as one per channel, (channels, 1, …), else as one per neuron."""
    values = as_scalar(values)
    if values.ndim == 0:
        return values
    if values.size != math.prod(features):
        raise ExchangeError(f"{label} has shape {values.shape}, expected {features}, that of the neurons")
    whole = values.reshape(features)
    each = whole.reshape(features[0], -1)[:, :1].reshape(-1, *[1] * (len(features) - 1))
    return each if (whole == each).all() else whole


def per_channel(values: Numbers, features: Shape, label: str) -> Numbers:
    """Values of each channel or neuron, (features[0],)."""
    values = compact(values, features, label)
    if values.size not in (1, features[0]):
        raise ExchangeError(f"{label} differs between the positions of a channel, expected one for each channel")
    return np.broadcast_to(values.ravel(), (features[0],)).astype(np.float64)
