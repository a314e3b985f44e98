"""From options of layers, as settings have them, to the description of a network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, Protocol

from izhi.errors import SettingError, ShapeError
from izhi.spec.connection import (
    CONNECTIONS,
    ConductanceSpec,
    ConnectionName,
    ConnectionSpec,
    ConvolutionSpec,
    DelaySpec,
    LinearSpec,
    NormSpec,
    SynapseSpec,
)
from izhi.spec.distribution import Spread
from izhi.spec.modules import FlattenSpec, LayerSpec, ModuleSpec, PoolSpec, UnflattenSpec
from izhi.spec.network import NetworkSpec
from izhi.spec.neuron import NeuronOptions, neuron_spec
from izhi.spec.tables import Shape

LayerKind = Literal["linear", "conv", "max-pool", "average-pool"]
#: Words of the short form of layers, and the kinds that they name.
WORDS: Mapping[str, LayerKind] = {"linear": "linear", "conv": "conv", "pool": "max-pool", "average": "average-pool"}


class WindowOptions(Protocol):
    """A layer or pool: ``izhi.experiments.settings.layers.LayerSettings`` has these and their documentation."""

    kind: LayerKind
    size: int | None
    kernel: int | None
    stride: int | None
    padding: int
    norm: bool
    weight_bits: int | None


class ConnectionOptions(Protocol):
    """Connections of a layer: ``izhi.experiments.settings.groups.NetworkSettings`` has these and their help."""

    connection: ConnectionName
    tau: float
    delays: int
    delay_type: Literal["axonal", "synaptic"]
    inhibitory: float | None


class ReadoutOptions(Protocol):
    """What reads the last layer, and the training of all: ``NetworkSettings`` has these and their help."""

    readout: Literal["spikes", "membrane", "current"] | None
    readout_tau: tuple[float, float] | None
    learn_readout: bool
    tau: float
    dropout: float
    keep_every: int | None


class LayerOptions(NamedTuple):
    """All options of one layer or pool."""

    window: WindowOptions
    neurons: NeuronOptions
    connection: ConnectionOptions


def short_form(window: WindowOptions) -> str:
    """A layer without options of its own, such as ``conv 16x5``."""
    if window.kind == "linear":
        return str(window.size)
    word = next(word for word, kind in WORDS.items() if kind == window.kind)
    return f"{word} {window.size}x{window.kernel}" if window.kind == "conv" else f"{word} {window.kernel}"


def assemble(layers: Sequence[LayerOptions], features: Shape, classes: int, options: ReadoutOptions) -> NetworkSpec:
    """The network of layers.

    Args:
        layers: in order; if their spikes are the output, the last one has a neuron for each class.
        features: of an encoded sample, channels first; spikes are flat where they enter.
        classes: outputs of a readout.
        options: of the network as a whole.

    Raises:
        SettingError: naming the layer that does not fit what comes before it.
    """
    modules: list[ModuleSpec] = []
    shape, is_flat = features, True
    for number, layer in enumerate(layers, start=1):
        is_linear = layer.window.kind == "linear"
        if not is_linear and len(shape) == 1:
            shape = (1, *shape)
        if is_linear != is_flat:
            modules.append(UnflattenSpec(shape) if is_flat else FlattenSpec())
            is_flat = not is_flat
        module = _module(layer, shape, f"layer {number} ({short_form(layer.window)})")
        modules.append(module)
        shape = module.features if isinstance(module, LayerSpec) else module.shape(shape)
    if not is_flat:
        modules.append(FlattenSpec())
    last = None
    if options.readout != "spikes":
        synapse = _membrane(options, classes) if options.readout == "membrane" else None
        last = LinearSpec(inputs=math.prod(shape), outputs=classes, synapse=synapse)
    return NetworkSpec(tuple(modules), last, dropout=options.dropout, keep_every=options.keep_every)


def _membrane(options: ReadoutOptions, classes: int) -> SynapseSpec:
    """The synapse of a membrane readout; with a time constant of each class if they are learned or differ."""
    low, high = (options.tau, options.tau) if options.readout_tau is None else options.readout_tau
    if low == high and not options.learn_readout:
        return SynapseSpec(low)
    spread = None if low == high else Spread("tau", low, high)
    return SynapseSpec(low if spread is None else spread.middle, options.learn_readout, outputs=classes, spread=spread)


def network_of_tables(
    tables: Sequence[Mapping[str, object]], features: int, classes: int, *, dropout: float, keep_every: int | None
) -> NetworkSpec:
    """The network that ``NetworkSpec.tables`` wrote, for data of so many features and classes.

    Raises:
        SettingError: naming the table that is none, or for other numbers of features or outputs.
    """
    spec = NetworkSpec.of_tables(tables, dropout=dropout, keep_every=keep_every)
    if spec.inputs != features:
        raise SettingError(
            f"the network takes {spec.inputs} features, but encoded samples have {features}; choose other data"
        )
    if spec.outputs not in (None, classes):
        raise SettingError(
            f"the network gives {spec.outputs} outputs, but there are {classes} classes; choose other data"
        )
    return spec


def _module(layer: LayerOptions, shape: Shape, name: str) -> LayerSpec | PoolSpec:
    window, rank = layer.window, len(shape) - 1
    kernel = (window.kernel or 1,) * rank
    if window.kind in ("max-pool", "average-pool"):
        kind: Literal["max", "average"] = "max" if window.kind == "max-pool" else "average"
        pool = PoolSpec(kind, kernel, (window.stride,) * rank if window.stride else kernel)
        _shape_behind(pool, shape, window, name)
        return pool
    (of_synapse, recurrent), size = CONNECTIONS[layer.connection.connection], window.size or 0
    if window.kind == "linear":
        bare: ConnectionSpec = LinearSpec(inputs=math.prod(shape), outputs=size, recurrent=recurrent)
        features: Shape = (size,)
    else:
        bare = ConvolutionSpec(
            inputs=shape[0], outputs=size, recurrent=recurrent, kernel=kernel, stride=(window.stride or 1,) * rank,
            padding=(window.padding,) * rank,
        )  # fmt: skip
        features = _shape_behind(bare, shape, window, name)
    neuron, own = neuron_spec(layer.neurons.neuron).configured(layer.neurons, features), layer.connection
    synapse = None if of_synapse is None else SynapseSpec(own.tau)
    if of_synapse == "conductance":
        synapse = ConductanceSpec(
            own.tau, reversal=neuron.reversal, implicit=neuron.implicit, inhibitory=own.inhibitory
        )
    delay = DelaySpec(own.delay_type, own.delays) if own.delays else None
    norm = NormSpec() if window.norm else None
    return LayerSpec(replace(bare, synapse=synapse), neuron, features, delay, norm, window.weight_bits)


def _shape_behind(module: PoolSpec | ConnectionSpec, shape: Shape, window: WindowOptions, name: str) -> Shape:
    try:
        return module.shape(shape)
    except ShapeError:
        raise SettingError(
            f"{name} looks at {window.kernel or 1} in each direction, but features are {' × '.join(map(str, shape))};"
            " choose a smaller kernel, or pool less"
        ) from None
