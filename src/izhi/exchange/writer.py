"""From a network to a graph of NIR, whose spikes are the network's if it is read by the conventions of a library."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import nir
import numpy as np
from numpy.typing import NDArray

from izhi import files
from izhi.errors import ExchangeError, IzhiError, LossWarning
from izhi.exchange import conventions
from izhi.exchange.builder import Numbers, as_numbers
from izhi.exchange.conventions import INNER_NEURONS, NIR, Library
from izhi.exchange.conversion import NodeTarget, codecs
from izhi.kernels.delay import whole_steps
from izhi.network import Layer, Network
from izhi.network.builder import describe
from izhi.network.connections import Connection
from izhi.network.layers import folded
from izhi.network.network import input_features
from izhi.spec.connection import ConductanceSpec, ConnectionSpec, ConvolutionSpec, DelaySpec, LinearSpec
from izhi.spec.modules import FlattenSpec, IdentitySpec, LayerSpec, ModuleSpec, PoolSpec, UnflattenSpec
from izhi.spec.tables import Shape
from izhi.version import __version__


@dataclass
class GraphBuilder:
    """A graph of nodes, each behind the one before it."""

    library: Library  #: that is to read it
    dt: float  #: seconds of a time step
    #: so far
    nodes: dict[str, nir.NIRNode] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    last: str = ""  #: name of the last node

    def add(self, name: str, node: nir.NIRNode) -> None:
        """Add a node behind the last one; ExchangeError if the library does not read it."""
        kind = type(node).__name__
        if kind in self.library.lacks:
            raise ExchangeError(f"{name} is a {kind}, which {self.library.name} has not: {self.library.lacks[kind]}")
        self.nodes[name] = node
        if self.last:
            self.edges.append((self.last, name))
        self.last = name

    def leak(self, decay: Numbers | float, shape: Shape) -> nir.NIRNode:
        """The node of a synapse."""
        ones = np.ones(shape)
        return nir.LI(tau=self.dt / (1 - decay) * ones, r=ones, v_leak=0 * ones)


def write(
    network: Network, path: str | Path, *, library: str | None = None, dt: float | None = None,
    single_spike: bool = False,
) -> nir.NIRGraph:  # fmt: skip
    """Write a network as NIR, in one step or not at all; returns the graph.

    Args:
        network: of float weights, without branches.
        path: of the file.
        library: that is to read it, by whose conventions its spikes are the network's; None for NIR's equations.
        dt: seconds of a time step; None for the library's, or 1e-4.
        single_spike: confirms, for a library whose neurons fire several times in a step, that they are changed to fire
            once after it reads the file (see docs/nir.md).

    Raises:
        ExchangeError: for a module that NIR does not have, or that the library converts to another, with the reason.
    """
    nodes = to_graph(network, library=library, dt=dt, single_spike=single_spike)
    buffer = io.BytesIO()
    nir.write(buffer, nodes)
    files.write_bytes(Path(path), buffer.getvalue())
    return nodes


def to_graph(
    network: Network, *, library: str | None = None, dt: float | None = None, single_spike: bool = False
) -> nir.NIRGraph:
    """Convert a network of float weights to a graph of NIR; see ``write``."""
    own = conventions.library(library)
    step = own.dt if dt is None else dt
    if not (math.isfinite(step) and step > 0):
        raise ExchangeError(f"dt is {step!r}, expected seconds above 0")
    conventions.check_single_spike(own, single_spike)
    try:
        features, spec = input_features([*network.layers, network.readout]), describe(network)
    except IzhiError as error:
        raise ExchangeError(error) from None
    builder, scale = GraphBuilder(own, step), 1.0
    out: Shape = (math.prod(features),)
    builder.add("input", nir.Input(np.array(features)))
    for number, (module, inputs, after) in enumerate(spec.walk(out), start=1):
        out = after
        if isinstance(module, LayerSpec):
            _add_layer(builder, module, cast(Layer, network.layers[number - 1]), number, inputs, scale)
            scale = 1.0
        else:
            scale *= _add_module(builder, module, number, inputs)
    if spec.readout is not None and network.readout is not None:
        _add_readout(builder, spec.readout, network.readout, scale)
        out = (spec.readout.outputs,)
    elif scale != 1.0:
        raise ExchangeError("the network ends in a pool, expected neurons or weights at its end")
    builder.add("output", nir.Output(np.array(out)))
    metadata = {"dt": step, "written_by": f"izhi {__version__}"}
    return nir.NIRGraph(builder.nodes, builder.edges, metadata)


def _add_module(builder: GraphBuilder, module: ModuleSpec, number: int, inputs: Shape) -> float:
    """Add a module without state; returns the factor on the next weights that it needs."""
    if isinstance(module, FlattenSpec):
        if len(inputs) > 1:
            # Dimensions counted from the end are the same with and without a dimension of samples.
            builder.add(f"flatten_{number}", nir.Flatten({"input": np.array(inputs)}, -len(inputs), -1))
        return 1.0
    if isinstance(module, PoolSpec) and module.name == "AvgPool2d":
        sums = builder.library.pools == "SumPool2d"
        make = nir.SumPool2d if sums else nir.AvgPool2d
        builder.add(f"pool_{number}", make(np.array(module.kernel), np.array(module.stride), np.array((0, 0))))
        return 1 / math.prod(module.kernel) if sums else 1.0
    if isinstance(module, IdentitySpec) or (isinstance(module, UnflattenSpec) and number == 1):
        return 1.0
    name = module.name if isinstance(module, PoolSpec) else type(module).__name__.removesuffix("Spec")
    raise ExchangeError(
        f"number {number} of the network is {name}, which NIR does not have; expected layers, mean pooling and"
        " Flatten, and Unflatten at the beginning alone"
    )


def _add_readout(builder: GraphBuilder, spec: ConnectionSpec, readout: Connection, scale: float) -> None:
    if not isinstance(spec, LinearSpec) or spec.recurrent or isinstance(spec.synapse, ConductanceSpec):
        raise ExchangeError(f"the readout is {readout.kind}, expected Linear, or one with an ExponentialSynapse")
    weight, bias = _parameters(readout)
    filtered = bias if spec.synapse is None or spec.synapse.filters_bias else np.zeros_like(bias)
    builder.add("readout", nir.Affine(_float32(weight * scale), _float32(filtered)))
    if readout.synapse is not None:
        builder.add("membrane", builder.leak(as_numbers(readout.synapse.decay), (len(weight),)))
    if (bias != filtered).any():
        builder.add("bias", nir.Affine(_float32(np.eye(len(weight))), _float32(bias)))


def _parameters(connection: Connection) -> tuple[Numbers, Numbers]:
    """Weights and bias; zeros for none."""
    weight, bias = as_numbers(connection.weight), connection.input.bias
    return weight, np.zeros(len(weight)) if bias is None else as_numbers(bias)


def _float32(values: Numbers) -> NDArray[np.float32]:
    return values.astype(np.float32)


def _add_layer(builder: GraphBuilder, spec: LayerSpec, layer: Layer, number: int, inputs: Shape, scale: float) -> None:
    label, library, features, synapse = f"layer {number}", builder.library, spec.features, spec.connection.synapse
    if isinstance(synapse, ConductanceSpec):
        raise ExchangeError(f"{label} is a conductance, which NIR does not have; write a float network of currents")
    _add_delay(builder, spec.delay, layer, number, inputs)
    if library.name == "sinabs" and len(features) > 1:
        raise ExchangeError(f"{label} has neurons of {features}, and sinabs' import takes those of rows alone")
    codec = codecs().get(spec.neuron.kind)
    if codec is None:
        raise ExchangeError(f"{label} has {spec.neuron.kind} neurons, expected one of: {', '.join(codecs())}")
    connection = layer.connection if layer.norm is None else folded(layer.connection, layer.norm)
    weight, bias = _parameters(connection)
    late_bias = bias if _adds_bias_late(builder, spec, bias, codec.contains_synapse, label) else None
    decay = None if connection.synapse is None else float(connection.synapse.decay)
    contained = decay if codec.contains_synapse and late_bias is None else None
    node, factor = codec.write(layer.neuron, NodeTarget(library, builder.dt, label, features, contained))
    each = factor.reshape(features[0], -1)[:, 0]
    if (factor.reshape(len(each), -1) != each[:, None]).any():
        raise ExchangeError(f"{label} has a beta that differs between the positions of a channel, expected one")
    early_bias = (bias if late_bias is None else np.zeros_like(bias)) / each
    across = each.reshape(-1, *[1] * (weight.ndim - 1))
    builder.add(f"weights_{number}", _weights(spec.connection, weight * scale / across, early_bias, inputs))
    between: list[tuple[str, nir.NIRNode]] = []
    if decay is not None and contained is None:
        between.append(("synapse", builder.leak(decay, features)))
    if late_bias is not None:
        if len(features) > 1:
            raise ExchangeError(f"{label} adds its bias behind a synapse, which NIR has of rows alone")
        between.append(("bias", nir.Affine(_float32(np.eye(len(each))), _float32(late_bias / each))))
    if not spec.connection.recurrent:
        for name, one in (*between, ("neurons", node)):
            builder.add(f"{name}_{number}", one)
        return
    _add_recurrent(
        builder, spec, number, [*between, (INNER_NEURONS, node)], as_numbers(connection.feedback.weight) / across
    )


def _adds_bias_late(builder: GraphBuilder, spec: LayerSpec, bias: Numbers, contains_synapse: bool, label: str) -> bool:
    """Whether the bias has a node of its own behind the synapse; else it passes through."""
    synapse = spec.connection.synapse
    if synapse is None or synapse.filters_bias or not (bias != 0).any():
        return False
    passes = contains_synapse and (builder.library is not NIR or len(spec.features) > 1)
    if passes:
        message = f"{label} adds its bias behind the synapse, and the file has it pass through: spikes of the first"
        warnings.warn(f"{message} steps may differ", LossWarning, stacklevel=5)
    return not passes


def _add_delay(builder: GraphBuilder, spec: DelaySpec | None, layer: Layer, number: int, inputs: Shape) -> None:
    if spec is None or layer.delay is None:
        return
    if spec.kind != "axonal":
        raise ExchangeError(f"layer {number} has a delay for each synapse, which NIR does not have; use AxonalDelay")
    steps = as_numbers(whole_steps(layer.delay.steps.cpu(), spec.largest))
    each = np.broadcast_to(steps.reshape(-1, *[1] * (len(inputs) - 1)), inputs)
    builder.add(f"delay_{number}", nir.Delay(np.ascontiguousarray(each) * builder.dt))


def _add_recurrent(
    builder: GraphBuilder, spec: LayerSpec, number: int, nodes: Sequence[tuple[str, nir.NIRNode]], weight: Numbers
) -> None:
    """Add neurons, the last of nodes, with recurrent weights: by a loop of edges, or within an inner graph."""
    library, features, own = builder.library, spec.features, spec.connection
    if library.recurrence == "none":
        raise ExchangeError(f"layer {number} is recurrent, which {library.name}'s import ends in an error of, or drops")
    loop: nir.NIRNode = nir.Linear(_float32(weight))
    if isinstance(own, ConvolutionSpec):
        padding = tuple(k // 2 for k in own.kernel)
        same = ConvolutionSpec(inputs=own.outputs, outputs=own.outputs, kernel=own.kernel, padding=padding)
        loop = _weights(same, weight, np.zeros(own.outputs), features)
    if library.recurrence == "loop":
        builder.add(f"neurons_{number}", nodes[-1][1])
        builder.nodes[f"w_rec_{number}"] = loop
        builder.edges += [(builder.last, f"w_rec_{number}"), (f"w_rec_{number}", builder.last)]
        return
    inner = GraphBuilder(library, builder.dt)
    for name, node in (("input", nir.Input(np.array(features))), *nodes):
        inner.add(name, node)
    inner.nodes["w_rec"] = loop
    inner.edges += [(INNER_NEURONS, "w_rec"), ("w_rec", nodes[0][0])]
    inner.add("output", nir.Output(np.array(features)))
    builder.add(f"neurons_{number}", nir.NIRGraph(inner.nodes, inner.edges, {}))


def _weights(spec: ConnectionSpec, weight: Numbers, bias: Numbers, inputs: Shape) -> nir.NIRNode:
    if not isinstance(spec, ConvolutionSpec):
        return nir.Affine(_float32(weight), _float32(bias))
    if len(spec.kernel) == 1:
        (stride,), (padding,), (dilation,) = spec.stride, spec.padding, spec.dilation
        return nir.Conv1d(inputs[-1], _float32(weight), stride, padding, dilation, spec.groups, _float32(bias))
    window = (spec.stride, spec.padding, spec.dilation, spec.groups)
    node = nir.Conv2d(cast("tuple[int, int]", inputs[-2:]), _float32(weight), *cast("Any", window), _float32(bias))
    # nir 1.0.8 takes the height of a kernel for its width as well, and channels of a group for all.
    node.input_type = {"input": np.array(inputs)}
    node.output_type = {"output": np.array(spec.shape(inputs))}
    return node
