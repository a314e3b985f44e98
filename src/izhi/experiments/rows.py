"""From settings to the rows of layers that networks are: their shapes, sizes, and modules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from izhi.errors import SettingError
from izhi.experiments.settings import Experiment
from izhi.experiments.settings.groups import NetworkSettings
from izhi.experiments.settings.kinds import check_neurons, kind
from izhi.experiments.settings.layers import LayerSettings, own_groups
from izhi.experiments.settings.neurons import NeuronSettings
from izhi.network import BatchNorm, Layer, blueprint
from izhi.network.connections import (
    CONNECTIONS,
    AxonalDelay,
    ConductanceSynapse,
    Connection,
    Conv1d,
    Conv2d,
    Delay,
    ExponentialSynapse,
    Linear,
    SynapticDelay,
)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One module of a network to be.

    Attributes:
        layer: its settings.
        given: features that come in, channels first.
        found: features that go out.
        neurons, network: settings that it has of its own, or from the network.
        made: the layer, without memory for its weights, where the network is given module by module.
    """

    layer: LayerSettings
    given: Shape
    found: Shape
    neurons: NeuronSettings
    network: NetworkSettings
    made: Layer | None = None

    @property
    def kernel(self) -> Shape:
        """Size of a convolution's kernel; of a linear layer it has no directions."""
        return (self.layer.kernel or 1,) * (len(self.given) - 1) if self.layer.kind == "conv" else ()

    @property
    def inputs(self) -> int:
        """Presynaptic neurons, or channels."""
        return self.given[0] if self.layer.kind == "conv" else math.prod(self.given)

    @property
    def weights(self) -> int:
        """How many there are, with those of feedback."""
        if self.made is not None:
            connection = self.made.connection
            return sum(x.weight.numel() for x in (connection.input, connection.feedback) if x is not None)
        size = self.found[0]
        return (self.inputs + size * CONNECTIONS[self.network.connection][1]) * size * math.prod(self.kernel)

    @property
    def numbers(self) -> int:
        """How many weights, biases, scales and delays it has."""
        if not self.layer.has_neurons:
            return 0
        if self.made is not None:
            return sum(x.numel() for x in self.made.parameters())
        delays = self.inputs * (self.found[0] * math.prod(self.kernel) if self.network.delay_type == "synaptic" else 1)
        return self.weights + self.found[0] * (1 + self.layer.norm) + delays * bool(self.network.delays)


def plan(e: Experiment, features: int | Shape, classes: int) -> list[Row]:
    """The rows of a resolved experiment's network, without its readout.

    Args:
        e: the experiment.
        features: of an encoded sample, channels first.
        classes: number of classes.

    Raises:
        SettingError: naming the layer that does not fit what comes before it.
    """
    if e.network.modules is not None:
        return _module_by_module(e, e.network.modules)
    now: Shape = (features,) if isinstance(features, int) else features
    layers = list(e.network.rows)
    if e.network.readout == "spikes":
        layers.append(LayerSettings(size=classes))
    rows = []
    for number, layer in enumerate(layers, start=1):
        place = f"layer {number} ({layer.text})"
        if not layer.has_neurons or layer.kind == "conv":
            now = now if len(now) > 1 else (1, *now)
        neurons, network = e.neurons, e.network
        if layer.own:
            neurons, network = own_groups(layer, neurons, network, place)
            neurons = _resolved(neurons, place)
        found = (layer.size or 0,) if layer.kind == "linear" else _behind(layer, now, place)
        rows.append(Row(layer, now, found, neurons, network))
        now = found
    return rows


def _module_by_module(e: Experiment, tables: Sequence[blueprint.Table]) -> list[Row]:
    """The layers of neurons of a network that is given whole."""
    found = []
    for layer, shape in blueprint.shapes(tables):
        neurons = e.neurons.model_copy(update={"neuron": usual_name(layer)})
        found.append(Row(LayerSettings(kind="linear", size=shape[0]), (), shape, neurons, e.network, layer))
    return found


def usual_name(layer: Layer) -> str:
    """The setting ``neuron`` that is nearest to the neurons of a layer."""
    neuron = layer.neuron
    return "lif" if neuron.kind == "lif" else "normalized" if neuron.unit_of_v == "1" else "RS"


def _resolved(neurons: NeuronSettings, place: str) -> NeuronSettings:
    """Settings of one layer's neurons, checked, with what follows from the neuron."""
    try:
        check_neurons(neurons)
    except SettingError as error:
        raise SettingError(f"{place}: {error}") from None
    usual = kind(neurons.neuron)
    gain = usual.gain if neurons.gain is None else neurons.gain
    return neurons.model_copy(update={"gain": gain, "order": neurons.order or usual.order})


def _behind(layer: LayerSettings, given: Shape, place: str) -> Shape:
    """What a window leaves of features (channels, *sizes)."""
    kernel = layer.kernel or 1
    stride = layer.stride or (1 if layer.kind == "conv" else kernel)
    sizes = tuple((size + 2 * layer.padding - kernel) // stride + 1 for size in given[1:])
    if min(sizes) < 1:
        shape = " × ".join(map(str, given))
        raise SettingError(
            f"{place} looks at {kernel} in each direction, but features are {shape};"
            " choose a smaller kernel, or pool less"
        )
    return (layer.size or given[0], *sizes)


def modules(rows: Sequence[Row]) -> list[nn.Module]:
    """The modules of planned rows, for flat spikes; weights are drawn from torch's generator, in their order."""
    found: list[nn.Module] = []
    is_flat = True
    for row in rows:
        if (row.layer.kind == "linear") != is_flat:
            found.append(nn.Unflatten(1, row.given) if is_flat else nn.Flatten())
            is_flat = not is_flat
        found.append(_layer(row) if row.layer.has_neurons else _pool(row))
    return found if is_flat else [*found, nn.Flatten()]


def _pool(row: Row) -> nn.Module:
    kernel = row.layer.kernel or 1
    stride = row.layer.stride or kernel
    along = len(row.given) == 2
    if row.layer.kind == "max-pool":
        return nn.MaxPool1d(kernel, stride) if along else nn.MaxPool2d(kernel, stride)
    return nn.AvgPool1d(kernel, stride) if along else nn.AvgPool2d(kernel, stride)


def _layer(row: Row) -> Layer:
    neuron = kind(row.neurons.neuron).make(row.neurons, row.found)
    s = row.network
    make, recurrent = CONNECTIONS[s.connection]
    synapse = None if make is None else make(s.tau)
    if make is ConductanceSynapse:
        synapse = ConductanceSynapse(s.tau, inhibitory=s.inhibitory, reversal=neuron.reversal, implicit=neuron.implicit)
    connection = _connection(row, synapse, recurrent)
    norm = BatchNorm(row.found[0]) if row.layer.norm else None
    return Layer(connection, neuron, _delay(row), norm)


def _connection(row: Row, synapse: ExponentialSynapse | None, recurrent: bool) -> Connection:
    layer, size = row.layer, row.found[0]
    if layer.kind == "linear":
        return Linear(row.inputs, size, synapse=synapse, recurrent=recurrent)
    make = Conv1d if len(row.given) == 2 else Conv2d
    return make(
        row.inputs, size, row.kernel, layer.stride or 1, layer.padding, synapse=synapse, recurrent=recurrent
    )  # fmt: skip


def _delay(row: Row) -> Delay | None:
    s = row.network
    if not s.delays:
        return None
    if s.delay_type == "synaptic":
        return SynapticDelay(row.inputs, row.found[0], s.delays, kernel=row.kernel)
    return AxonalDelay(row.inputs, s.delays)


def outputs(planned: Sequence[Row], features: int | Shape) -> int:
    """What planned rows give to a readout."""
    shape = planned[-1].found if planned else features
    return shape if isinstance(shape, int) else math.prod(shape)


__all__ = ["Row", "Shape", "modules", "outputs", "plan", "usual_name"]
