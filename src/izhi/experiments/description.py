"""From settings to the description of a network, without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from izhi.errors import SettingError
from izhi.experiments.settings import Experiment
from izhi.experiments.settings.groups import NetworkSettings
from izhi.experiments.settings.layers import LayerSettings, own_groups
from izhi.experiments.settings.neurons import NeuronSettings, check_neurons
from izhi.spec import (
    CONNECTIONS,
    ConductanceSpec,
    ConnectionSpec,
    ConvolutionSpec,
    DelaySpec,
    FlattenSpec,
    LayerSpec,
    LinearSpec,
    ModuleSpec,
    NetworkSpec,
    NeuronSpec,
    NormSpec,
    PoolSpec,
    Shape,
    SynapseSpec,
    UnflattenSpec,
    neuron_spec,
)


def describe(e: Experiment, features: int | Shape, classes: int) -> NetworkSpec:
    """The network of a resolved experiment.

    Args:
        e: the experiment.
        features: of an encoded sample, channels first: an encoder's ``grid``.
        classes: number of classes.

    Raises:
        SettingError: naming the layer that does not fit what comes before it, or a network given module by module
            that does not fit the data.
    """
    s, shape = e.network, (features,) if isinstance(features, int) else features
    if s.modules is not None:
        return _module_by_module(s, s.modules, math.prod(shape), classes)
    layers = [*s.rows, LayerSettings(size=classes)] if s.readout == "spikes" else s.rows
    modules, shape = _modules(e, layers, shape)
    readout = None
    if s.readout != "spikes":
        synapse = SynapseSpec(s.tau) if s.readout == "membrane" else None
        readout = LinearSpec(inputs=math.prod(shape), outputs=classes, synapse=synapse)
    return NetworkSpec(tuple(modules), readout, dropout=s.dropout, keep_every=s.keep_every)


def _module_by_module(
    s: NetworkSettings, tables: Sequence[Mapping[str, Any]], features: int, classes: int
) -> NetworkSpec:
    spec = NetworkSpec.of_tables(tables, dropout=s.dropout, keep_every=s.keep_every)
    if spec.inputs != features:
        raise SettingError(
            f"the network takes {spec.inputs} features, but encoded samples have {features}; choose other data"
        )
    if spec.outputs not in (None, classes):
        raise SettingError(
            f"the network gives {spec.outputs} outputs, but there are {classes} classes; choose other data"
        )
    return spec


def _modules(e: Experiment, layers: Sequence[LayerSettings], shape: Shape) -> tuple[list[ModuleSpec], Shape]:
    """The modules of layers for flat spikes of features of that shape, and the shape of what goes out."""
    modules: list[ModuleSpec] = []
    is_flat = True
    for number, layer in enumerate(layers, start=1):
        if layer.kind != "linear" and len(shape) == 1:
            shape = (1, *shape)
        if (layer.kind == "linear") != is_flat:
            modules.append(UnflattenSpec(shape) if is_flat else FlattenSpec())
            is_flat = not is_flat
        plan = _LayerPlan.of(e, layer, f"layer {number} ({layer.text})")
        module = plan.module(shape)
        modules.append(module)
        shape = module.features if isinstance(module, LayerSpec) else module.shape(shape)
    return (modules if is_flat else [*modules, FlattenSpec()]), shape


@dataclass(frozen=True)
class _LayerPlan:
    """One layer's settings.

    Attributes:
        layer: of its own.
        neurons, network: of its own, or of the network.
        name: by which errors name it.
    """

    layer: LayerSettings
    neurons: NeuronSettings
    network: NetworkSettings
    name: str

    @classmethod
    def of(cls, e: Experiment, layer: LayerSettings, name: str) -> _LayerPlan:
        neurons, network = e.neurons, e.network
        if layer.own:
            neurons, network = own_groups(layer, neurons, network, name)
            try:
                check_neurons(neurons)
            except SettingError as error:
                raise SettingError(f"{name}: {error}") from None
        return cls(layer, neurons, network, name)

    def module(self, shape: Shape) -> LayerSpec | PoolSpec:
        """The layer for features of that shape."""
        layer, s = self.layer, self.network
        if not layer.has_neurons:
            self._behind(shape)
            kernel = (layer.kernel or 1,) * (len(shape) - 1)
            stride = (layer.stride or layer.kernel or 1,) * (len(shape) - 1)
            return PoolSpec("max" if layer.kind == "max-pool" else "average", kernel, stride)
        features = (layer.size or 0,) if layer.kind == "linear" else self._behind(shape)
        neuron = neuron_spec(self.neurons.neuron).configured(self.neurons, features)
        delay = DelaySpec(s.delay_type, s.delays) if s.delays else None
        norm = NormSpec() if layer.norm else None
        return LayerSpec(self._connection(shape, neuron), neuron, features, delay, norm, layer.weight_bits)

    def _connection(self, shape: Shape, neuron: NeuronSpec) -> ConnectionSpec:
        layer, s = self.layer, self.network
        of_synapse, recurrent = CONNECTIONS[s.connection]
        synapse = None if of_synapse is None else SynapseSpec(s.tau)
        if of_synapse == "conductance":
            synapse = ConductanceSpec(
                s.tau, reversal=neuron.reversal, implicit=neuron.implicit, inhibitory=s.inhibitory
            )
        common: dict[str, Any] = {"outputs": layer.size or 0, "recurrent": recurrent, "synapse": synapse}
        if layer.kind == "linear":
            return LinearSpec(inputs=math.prod(shape), **common)
        rank = len(shape) - 1
        return ConvolutionSpec(
            inputs=shape[0], kernel=(layer.kernel or 1,) * rank, stride=(layer.stride or 1,) * rank,
            padding=(layer.padding,) * rank, **common,
        )  # fmt: skip

    def _behind(self, shape: Shape) -> Shape:
        """What a window leaves of features (channels, *sizes)."""
        layer, kernel = self.layer, self.layer.kernel or 1
        stride = layer.stride or (1 if layer.kind == "conv" else kernel)
        sizes = tuple((size + 2 * layer.padding - kernel) // stride + 1 for size in shape[1:])
        if min(sizes) < 1:
            raise SettingError(
                f"{self.name} looks at {kernel} in each direction, but features are {' × '.join(map(str, shape))};"
                " choose a smaller kernel, or pool less"
            )
        return (layer.size or shape[0], *sizes)


__all__ = ["describe"]
