"""From a network to a graph of NIR, whose spikes are the network's if it is read by the conventions of a library."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import nir
import numpy as np
from numpy.typing import NDArray
from torch import nn

from izhi.errors import ExchangeError, LossWarning
from izhi.exchange.builder import Numbers, as_numbers
from izhi.exchange.conventions import NIR, Library
from izhi.exchange.neuron_nodes import Target, codecs
from izhi.kernels.delay import whole_steps
from izhi.network import Layer, Network
from izhi.network.connections import AxonalDelay, ConductanceSynapse, Connection
from izhi.network.normalization import folded
from izhi.network.traversal import shape_of_inputs, with_shapes
from izhi.spec import Shape, entry_of
from izhi.version import __version__


@dataclass
class GraphBuilder:
    """A graph of nodes, each behind the one before it.

    Attributes:
        library: that is to read it.
        dt: seconds of a time step.
        nodes, edges: so far.
        last: name of the last node.
    """

    library: Library
    dt: float
    nodes: dict[str, nir.NIRNode] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    last: str = ""

    def add(self, name: str, node: nir.NIRNode) -> None:
        """Add a node behind the last one; ExchangeError if the library does not read it."""
        kind = type(node).__name__
        if kind in self.library.lacks:
            raise ExchangeError(f"{name} is a {kind}, which {self.library.name} has not: {self.library.lacks[kind]}")
        self.nodes[name] = node
        if self.last:
            self.edges.append((self.last, name))
        self.last = name

    def leak(self, decay: float, shape: Shape) -> nir.NIRNode:
        """The node of a synapse."""
        ones = np.ones(shape)
        return nir.LI(tau=self.dt / (1 - decay) * ones, r=ones, v_leak=0 * ones)


def graph(
    network: Network, *, library: Library = NIR, dt: float | None = None, single_spike: bool = False
) -> nir.NIRGraph:
    """Write a network of float weights as a graph; see ``izhi.nir.write``."""
    step = library.dt if dt is None else dt
    if not (math.isfinite(step) and step > 0):
        raise ExchangeError(f"dt is {step!r}, expected seconds above 0")
    if library.counts and not single_spike:
        raise ExchangeError(
            f"{library.name} makes of a LIF neurons that fire several times in a step, and ours fire once; make them"
            " fire once when it has read the file (docs/nir.md says how), and ask for it: single_spike"
        )
    modules = [x for x in (*network.layers, network.readout) if isinstance(x, nn.Module)]
    features = shape_of_inputs(modules)
    if features is None:
        raise ExchangeError(
            f"the network begins with {type(modules[0]).__name__}, which does not say how many inputs there are; begin"
            " it with nn.Unflatten(1, (channels, height, width))"
        )
    builder, scale = GraphBuilder(library, step), 1.0
    builder.add("input", nir.Input(np.array(features)))
    out = features
    for number, (module, given, out) in enumerate(with_shapes(network.layers, (math.prod(features),)), start=1):
        if isinstance(module, Layer):
            _add_layer(builder, module, number, given, out, scale)
            scale = 1.0
        else:
            scale *= _add_module(builder, module, number, given)
    if network.readout is not None:
        _add_readout(builder, network.readout, scale)
        out = (len(network.readout.weight),)
    elif scale != 1.0:
        raise ExchangeError("the network ends in a pool, expected neurons or weights at its end")
    builder.add("output", nir.Output(np.array(out)))
    metadata = {"dt": step, "written_by": f"izhi {__version__}"}
    return nir.NIRGraph(builder.nodes, builder.edges, metadata)


def _add_module(builder: GraphBuilder, module: nn.Module, number: int, given: Shape) -> float:
    """Add a module without state; returns the factor on the next weights that it needs."""
    if isinstance(module, nn.Identity) or (isinstance(module, nn.Unflatten) and number == 1):
        return 1.0
    if isinstance(module, nn.Unflatten):
        raise ExchangeError(f"number {number} of the network is Unflatten, expected it at the beginning alone")
    if isinstance(module, nn.Flatten):
        if module.start_dim != 1 or module.end_dim != -1:
            raise ExchangeError(f"number {number} of the network is {module}, expected it to flatten all features")
        if len(given) > 1:
            # Dimensions counted from the end are the same with and without a dimension of samples.
            builder.add(f"flatten_{number}", nir.Flatten({"input": np.array(given)}, -len(given), -1))
        return 1.0
    if isinstance(module, nn.AvgPool2d):
        kernel = _pair(module.kernel_size)
        stride = kernel if module.stride is None else _pair(module.stride)
        if any(_pair(module.padding)) or module.ceil_mode or module.divisor_override is not None:
            raise ExchangeError(
                f"number {number} of the network is {module}, expected one without padding or ceil_mode"
            )
        sums = builder.library.pools == "SumPool2d"
        make = nir.SumPool2d if sums else nir.AvgPool2d
        builder.add(f"pool_{number}", make(np.array(kernel), np.array(stride), np.array((0, 0))))
        return 1 / math.prod(kernel) if sums else 1.0
    raise ExchangeError(
        f"number {number} of the network is {type(module).__name__}, which NIR does not have; expected layers, mean"
        " pooling and Flatten"
    )


def _pair(size: int | tuple[int, ...]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[-1])


def _add_readout(builder: GraphBuilder, readout: Connection, scale: float) -> None:
    weight, bias = _parameters(readout)
    synapse, is_matrix = readout.synapse, isinstance(readout.input, nn.Linear)
    if not is_matrix or readout.feedback is not None or isinstance(synapse, ConductanceSynapse):
        raise ExchangeError(f"the readout is {readout.kind}, expected Linear, or one with an ExponentialSynapse")
    filtered = bias if synapse is None or synapse.filters_bias else np.zeros_like(bias)
    builder.add("readout", nir.Affine(_float32(weight * scale), _float32(filtered)))
    if synapse is not None:
        builder.add("membrane", builder.leak(float(synapse.decay), (len(weight),)))
    if (bias != filtered).any():
        builder.add("bias", nir.Affine(_float32(np.eye(len(weight))), _float32(bias)))


def _parameters(connection: Connection) -> tuple[Numbers, Numbers]:
    """Weights and bias; zeros for none."""
    weight, bias = as_numbers(connection.weight), connection.input.bias
    return weight, np.zeros(len(weight)) if bias is None else as_numbers(bias)


def _float32(values: Numbers) -> NDArray[np.float32]:
    return values.astype(np.float32)


def _add_layer(builder: GraphBuilder, layer: Layer, number: int, given: Shape, features: Shape, scale: float) -> None:
    label, neuron, library = f"layer {number}", layer.neuron, builder.library
    connection = layer.connection if layer.norm is None else folded(layer.connection, layer.norm)
    if isinstance(connection.synapse, ConductanceSynapse) or type(connection).__name__.startswith("Quantized"):
        what = "a conductance" if connection.synapse is not None else "quantised"
        raise ExchangeError(f"{label} is {what}, which NIR does not have; write a float network of currents")
    if layer.delay is not None:
        _add_delay(builder, layer, number, given)
    if library.name == "sinabs" and len(features) > 1:
        raise ExchangeError(f"{label} has neurons of {features}, and sinabs' import takes those of rows alone")
    codec = codecs().get(neuron.kind)
    if codec is None or not isinstance(neuron, entry_of(neuron.kind).load("torch")):
        raise ExchangeError(f"{label} has {neuron.kind} neurons, expected float ones of {' or '.join(codecs())}")
    late_bias = _late_bias(connection)
    if late_bias is not None and codec.contains_synapse and (library is not NIR or len(features) > 1):
        warnings.warn(
            f"{label} adds its bias behind the synapse, and the file has it pass through: spikes of the first steps may"
            " differ",
            LossWarning, stacklevel=6,
        )  # fmt: skip
        late_bias = None
    synapse = connection.synapse
    decay = None if synapse is None else float(synapse.decay)
    contained = decay if codec.contains_synapse and late_bias is None else None
    node, factor = codec.write(neuron, Target(library, builder.dt, label, features, contained))
    each = factor.reshape(features[0], -1)[:, 0]
    if (factor.reshape(len(each), -1) != each[:, None]).any():
        raise ExchangeError(f"{label} has a beta that differs between the positions of a channel, expected one")
    _add_weights(builder, connection, number, given, scale, each, late_bias)
    between: list[tuple[str, nir.NIRNode]] = []
    if decay is not None and contained is None:
        between.append(("synapse", builder.leak(decay, features)))
    if late_bias is not None:
        if len(features) > 1:
            raise ExchangeError(f"{label} adds its bias behind a synapse, which NIR has of rows alone")
        between.append(("bias", nir.Affine(_float32(np.eye(len(each))), _float32(late_bias / each))))
    if connection.feedback is None:
        for name, one in (*between, ("neurons", node)):
            builder.add(f"{name}_{number}", one)
    else:
        _add_recurrent(builder, connection, number, features, each, between, node)


def _add_delay(builder: GraphBuilder, layer: Layer, number: int, given: Shape) -> None:
    if not isinstance(layer.delay, AxonalDelay):
        raise ExchangeError(f"layer {number} has a delay for each synapse, which NIR does not have; use AxonalDelay")
    steps = as_numbers(whole_steps(layer.delay.steps, layer.delay.largest))
    each = np.broadcast_to(steps.reshape(-1, *[1] * (len(given) - 1)), given)
    builder.add(f"delay_{number}", nir.Delay(np.ascontiguousarray(each) * builder.dt))


def _late_bias(connection: Connection) -> Numbers | None:
    """A bias that does not pass through the connection's synapse; None for none."""
    synapse, (_, bias) = connection.synapse, _parameters(connection)
    return bias if synapse is not None and not synapse.filters_bias and (bias != 0).any() else None


def _add_weights(
    builder: GraphBuilder, connection: Connection, number: int, given: Shape, scale: float, each: Numbers,
    late_bias: Numbers | None,
) -> None:  # fmt: skip
    """Add weights and bias of neurons that multiply their current by a factor of each channel."""
    weight, bias = _parameters(connection)
    weight = weight * scale / each.reshape(-1, *[1] * (weight.ndim - 1))
    bias = (bias if late_bias is None else np.zeros_like(bias)) / each
    is_matrix = weight.ndim == 2
    node = nir.Affine(_float32(weight), _float32(bias)) if is_matrix else _convolution(
        connection.input, weight, bias, given
    )  # fmt: skip
    builder.add(f"weights_{number}", node)


def _add_recurrent(
    builder: GraphBuilder, connection: Connection, number: int, features: Shape, each: Numbers,
    between: Sequence[tuple[str, nir.NIRNode]], node: nir.NIRNode,
) -> None:  # fmt: skip
    """Add neurons with recurrent weights: by a loop of edges, or within an inner graph."""
    library, feedback = builder.library, connection.feedback
    if library.recurrence == "none":
        raise ExchangeError(f"layer {number} is recurrent, which {library.name}'s import ends in an error of, or drops")
    weight = as_numbers(feedback.weight)
    weight = weight / each.reshape(-1, *[1] * (weight.ndim - 1))
    loop = nir.Linear(_float32(weight)) if weight.ndim == 2 else _convolution(feedback, weight, 0 * each, features)
    if library.recurrence == "loop":
        builder.add(f"neurons_{number}", node)
        builder.nodes[f"w_rec_{number}"] = loop
        builder.edges += [(builder.last, f"w_rec_{number}"), (f"w_rec_{number}", builder.last)]
        return
    inner = GraphBuilder(library, builder.dt)
    for name, one in (("input", nir.Input(np.array(features))), *between, ("lif", node)):
        inner.add(name, one)
    inner.nodes["w_rec"] = loop
    inner.edges += [("lif", "w_rec"), ("w_rec", between[0][0] if between else "lif")]
    inner.add("output", nir.Output(np.array(features)))
    builder.add(f"neurons_{number}", nir.NIRGraph(inner.nodes, inner.edges, {}))


def _convolution(own: Any, weight: Numbers, bias: Numbers, given: Shape) -> nir.NIRNode:
    padding = own.padding
    if isinstance(padding, str):
        padding = tuple((k - 1) * d // 2 for k, d in zip(own.kernel_size, own.dilation, strict=True))
    if weight.ndim == 3:
        return nir.Conv1d(
            given[-1], _float32(weight), own.stride[0], padding[0], own.dilation[0], own.groups, _float32(bias)
        )  # fmt: skip
    node = nir.Conv2d(
        cast("tuple[int, int]", given[-2:]), _float32(weight), own.stride, padding, own.dilation, own.groups,
        _float32(bias),
    )  # fmt: skip
    # nir 1.0.8 takes the height of a kernel for its width as well, and channels of a group for all.
    sizes = zip(given[-2:], own.kernel_size, own.stride, padding, own.dilation, strict=True)
    out = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes]
    node.input_type = {"input": np.array(given)}
    node.output_type = {"output": np.array([len(weight), *out])}
    return node
