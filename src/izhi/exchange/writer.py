"""From a network to a graph of NIR, whose spikes are the network's where it is read by the conventions of a library."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from izhi.errors import ExchangeError, LossWarning
from izhi.exchange.conventions import NIR, Library
from izhi.exchange.izhikevich import Izhikevich as IzhikevichNode
from izhi.kernels import ValueLIFCoefficients
from izhi.kernels.delay import whole_steps
from izhi.network import Layer, Network
from izhi.network.connections import AxonalDelay, ConductanceSynapse, Connection, ExponentialSynapse
from izhi.network.normalization import folded
from izhi.network.traversal import shape_of_inputs, with_shapes
from izhi.neurons import LIF, Izhikevich
from izhi.version import __version__

Numbers: TypeAlias = NDArray[np.float64]
Shape: TypeAlias = tuple[int, ...]


@dataclass
class _Graph:
    """A graph in the making: nodes one behind another."""

    library: Library
    dt: float
    nodes: dict[str, nir.NIRNode] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    last: str = ""

    def add(self, name: str, node: nir.NIRNode) -> None:
        """A node behind the last one."""
        kind = type(node).__name__
        if kind in self.library.lacks:
            raise ExchangeError(f"{name} is a {kind}, which {self.library.name} has not: {self.library.lacks[kind]}")
        self.nodes[name] = node
        if self.last:
            self.edges.append((self.last, name))
        self.last = name


def graph(
    network: Network, *, library: Library = NIR, dt: float | None = None, single_spike: bool = False
) -> nir.NIRGraph:
    """A network of float weights as a graph; see ``izhi.nir.write``."""
    step = library.dt if dt is None else dt
    if not (math.isfinite(step) and step > 0):
        raise ExchangeError(f"dt is {step!r}, expected seconds above 0")
    if library.counts and not single_spike:
        raise ExchangeError(
            f"{library.name} makes of a LIF neurons that fire several times in a step, and ours fire once; make them"
            " fire once when it has read the file (docs/nir.md says how), and ask for it: single_spike"
        )
    row = [x for x in (*network.layers, network.readout) if isinstance(x, nn.Module)]
    shape = shape_of_inputs(row)
    if shape is None:
        raise ExchangeError(
            f"the network begins with {type(row[0]).__name__}, which does not say how many inputs there are; begin it"
            " with nn.Unflatten(1, (channels, height, width))"
        )
    found, scale = _Graph(library, step), 1.0
    found.add("input", nir.Input(np.array(shape)))
    last = shape
    for number, (module, given, last) in enumerate(with_shapes(network.layers, (math.prod(shape),)), start=1):
        if isinstance(module, Layer):
            _add_layer(found, module, number, given, last, scale)
            scale = 1.0
        else:
            scale *= _add_module(found, module, number, given)
    if network.readout is not None:
        _add_readout(found, network.readout, scale)
        last = (len(network.readout.weight),)
    if scale != 1.0 and network.readout is None:
        raise ExchangeError("the network ends in a pool, expected neurons or weights at its end")
    found.add("output", nir.Output(np.array(last)))
    metadata = {"dt": step, "written_by": f"izhi {__version__}"}
    return nir.NIRGraph(found.nodes, found.edges, metadata)


def _add_module(into: _Graph, module: nn.Module, number: int, given: Sequence[int]) -> float:
    """A module without state; the factor that the next weights need for it."""
    if isinstance(module, nn.Unflatten):
        if number > 1:
            raise ExchangeError(f"number {number} of the network is Unflatten, expected it at the beginning alone")
        return 1.0
    if isinstance(module, nn.Identity):
        return 1.0
    if isinstance(module, nn.Flatten):
        if module.start_dim != 1 or module.end_dim != -1:
            raise ExchangeError(f"number {number} of the network is {module}, expected it to flatten all features")
        if len(given) > 1:
            # Counted from the end, dimensions are the same with samples before them, and without.
            into.add(f"flatten_{number}", nir.Flatten({"input": np.array(given)}, -len(given), -1))
        return 1.0
    if isinstance(module, nn.AvgPool2d):
        kernel = _pair(module.kernel_size)
        stride = kernel if module.stride is None else _pair(module.stride)
        if any(_pair(module.padding)) or module.ceil_mode or module.divisor_override is not None:
            raise ExchangeError(
                f"number {number} of the network is {module}, expected one without padding or ceil_mode"
            )
        sums = into.library.pools == "SumPool2d"
        make = nir.SumPool2d if sums else nir.AvgPool2d
        into.add(f"pool_{number}", make(np.array(kernel), np.array(stride), np.array((0, 0))))
        return 1 / math.prod(kernel) if sums else 1.0
    raise ExchangeError(
        f"number {number} of the network is {type(module).__name__}, which NIR does not have; expected layers, mean"
        " pooling and Flatten"
    )


def _pair(size: int | tuple[int, ...]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[-1])


def _add_readout(into: _Graph, readout: Connection, scale: float) -> None:
    weight, bias = _numbers(readout)
    synapse = readout.synapse
    if not isinstance(readout.input, nn.Linear) or readout.feedback is not None or isinstance(
        synapse, ConductanceSynapse
    ):  # fmt: skip
        raise ExchangeError(f"the readout is {readout.kind}, expected Linear, or one with an ExponentialSynapse")
    if synapse is None:
        into.add("readout", nir.Affine(_single(weight * scale), _single(bias)))
        return
    through = bias if synapse.filters_bias else np.zeros_like(bias)
    into.add("readout", nir.Affine(_single(weight * scale), _single(through)))
    left = float(synapse.decay)
    ones = np.ones(len(weight))
    into.add("membrane", nir.LI(tau=into.dt / (1 - left) * ones, r=ones, v_leak=0 * ones))
    if (bias != through).any():
        into.add("bias", nir.Affine(_single(np.eye(len(weight))), _single(bias)))


def _numbers(connection: Connection) -> tuple[Numbers, Numbers]:
    """Weights and bias; zeros where there is none."""
    weight = connection.weight.detach().double().numpy()
    bias = connection.input.bias
    return weight, np.zeros(len(weight)) if bias is None else bias.detach().double().numpy()


def _single(values: Numbers) -> NDArray[np.float32]:
    return values.astype(np.float32)


def _add_layer(
    into: _Graph, layer: Layer, number: int, given: Sequence[int], shape: Sequence[int], scale: float
) -> None:
    connection = layer.connection
    if layer.norm is not None:
        connection = folded(connection, layer.norm)
    if isinstance(connection.synapse, ConductanceSynapse) or type(connection).__name__.startswith("Quantized"):
        what = "a conductance" if connection.synapse is not None else "quantised"
        raise ExchangeError(f"layer {number} is {what}, which NIR does not have; write a float network of currents")
    if layer.delay is not None:
        _add_delay(into, layer, number, given)
    size = tuple(shape)
    if into.library.name == "sinabs" and len(size) > 1:
        raise ExchangeError(f"layer {number} has neurons of {size}, and sinabs' import takes those of rows alone")
    if isinstance(layer.neuron, LIF):
        _add_lif(into, connection, layer.neuron, number, given, size, scale)
    elif isinstance(layer.neuron, Izhikevich):
        _add_izhikevich(into, connection, layer.neuron, number, given, size, scale)
    else:
        raise ExchangeError(f"layer {number} has {layer.neuron.kind} neurons, expected float ones of LIF or Izhikevich")


def _add_delay(into: _Graph, layer: Layer, number: int, given: Sequence[int]) -> None:
    if not isinstance(layer.delay, AxonalDelay):
        raise ExchangeError(f"layer {number} has a delay for each synapse, which NIR does not have; use AxonalDelay")
    steps = whole_steps(layer.delay.steps, layer.delay.largest).double().numpy()
    each = np.broadcast_to(steps.reshape(-1, *[1] * (len(given) - 1)), tuple(given))
    into.add(f"delay_{number}", nir.Delay(np.ascontiguousarray(each) * into.dt))


def _values(value: Tensor | float, shape: Shape) -> Numbers:
    """A coefficient of each neuron."""
    found = torch.as_tensor(value, dtype=torch.float64 if isinstance(value, float) else None).detach()
    return np.array(np.broadcast_to(found.double().numpy(), shape))


def _add_lif(
    into: _Graph, connection: Connection, neuron: LIF, number: int, given: Sequence[int], shape: Shape, scale: float
) -> None:
    library, p, where = into.library, neuron.coefficients(), f"layer {number}"
    beta, threshold = _values(p.beta, shape), _values(p.threshold, shape)
    reset, metadata = _reset(into, neuron, number, shape)
    if library.fires_at_threshold:
        threshold = np.nextafter(_single(threshold), np.inf, dtype=np.float32).astype(np.float64)
    if library.uniform:
        for name, values in (("beta", beta), ("threshold", threshold)):
            if values.size and (values != values.ravel()[0]).any():
                raise ExchangeError(f"{where} has a {name} for each neuron, which {library.name} has not")
    synapse = connection.synapse
    behind = _bias_behind(connection)
    if behind is not None and (library is not NIR or len(shape) > 1):
        warnings.warn(
            f"{where} adds its bias behind the synapse, and the file has it go through: spikes of the first steps may"
            " differ",
            LossWarning, stacklevel=6,
        )  # fmt: skip
        behind = None
    ones = np.ones(shape)
    factor = ones
    if (beta == 1).any():
        if not (beta == 1).all() or (synapse is not None and behind is None):
            raise ExchangeError(f"{where} has neurons that do not leak (beta 1) beside others, or behind a synapse")
        node: nir.NIRNode = nir.IF(r=ones / into.dt, v_threshold=threshold, v_reset=reset)
    else:
        tau, r, factor = _membrane(into, beta)
        common = {"r": r, "v_leak": 0 * ones, "v_threshold": threshold, "v_reset": reset}
        if synapse is None or behind is not None:
            node = nir.LIF(tau=tau, **common)
        else:
            tau_syn, w_in, gain = _synapse(into, float(synapse.decay))
            factor = factor * gain
            node = nir.CubaLIF(tau_syn=tau_syn * ones, tau_mem=tau, w_in=w_in * ones, **common)
    node.metadata = metadata
    _add_weighted(into, connection, node, number, given, factor, scale, behind)


def _membrane(into: _Graph, beta: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """τ and r of a membrane, and by what the library multiplies its current."""
    ones, library = np.ones_like(beta), into.library
    if library.decay == "exponential":
        # sinabs counts τ in steps, and rockpool finds its step as τ/(1 + r).
        steps = -1 / np.log(beta)
        return (steps, ones, ones) if library.name == "sinabs" else (into.dt * steps, steps - 1, ones)
    tau = into.dt / (1 - beta)
    return (tau, ones, 1 - beta) if library.r == "1" else (tau, tau / into.dt, ones)


def _synapse(into: _Graph, left: float) -> tuple[float, float, float]:
    """τ and w_in of a synapse, and by what the library multiplies its current, (1 − left)·s."""
    if into.library.decay == "exponential":  # what comes in decays in its own step
        return -into.dt / math.log(left), 1.0, left / (1 - left)
    tau = into.dt / (1 - left)
    takes_sums = into.library.r == "tau/dt" and into.library is not NIR
    return (tau, tau / into.dt, tau / into.dt) if takes_sums else (tau, 1.0, 1.0)


def _reset(into: _Graph, neuron: LIF, number: int, shape: Shape) -> tuple[Numbers, dict[str, Any]]:
    """v_reset of a neuron, and what NIR has no place for."""
    mode, late, library = neuron.settings.reset, neuron.settings.reset_delay, into.library
    where = f"layer {number}"
    if mode == "none":
        raise ExchangeError(f"{where} has neurons without a reset, which NIR does not have")
    if mode == "soft" and library.counts:
        return np.zeros(shape), {}
    if mode in ("subtract", "soft"):
        if library is not NIR:
            fix = "train with reset = soft" if library.counts else "train with reset = zero"
            raise ExchangeError(f"{where} has the reset {mode!r}, and {library.name} would make another of it; {fix}")
        warnings.warn(
            f"{where} subtracts the threshold, for which NIR has no place: it is kept as metadata, and who does not"
            " read them resets v to 0",
            LossWarning, stacklevel=7,
        )  # fmt: skip
        return np.zeros(shape), {"reset": mode, "reset_delay": late}
    if library.name == "rockpool":
        raise ExchangeError(f"{where} resets v, and rockpool's neurons subtract the threshold; train with reset = soft")
    p = neuron.coefficients()
    value = _values(p.v_reset, shape) if isinstance(p, ValueLIFCoefficients) else np.zeros(shape)
    if library is not NIR and (value != 0).any():
        raise ExchangeError(f"{where} resets v to another value than 0, which {library.name} does not read")
    return value, {}


def _bias_behind(connection: Connection) -> Numbers | None:
    """A bias that does not go through the connection's synapse; None if there is none."""
    synapse, (_, bias) = connection.synapse, _numbers(connection)
    return bias if synapse is not None and not synapse.filters_bias and (bias != 0).any() else None


def _add_izhikevich(
    into: _Graph, connection: Connection, neuron: Izhikevich, number: int, given: Sequence[int], shape: Shape,
    scale: float,
) -> None:  # fmt: skip
    p, s, start = neuron.coefficients(), neuron.settings, neuron.initial_state(torch.zeros(1, *shape))
    order = s.order
    if s.formats is not None or s.state_quant is not None:
        raise ExchangeError(f"layer {number} has quantised states, which NIR does not have; write the float network")
    node = IzhikevichNode(
        **{name: _values(getattr(p, name), shape) for name in ("a1", "a2", "a3", "a4", "b1", "b2", "b3", "c", "d")},
        v_threshold=_values(p.threshold, shape), r=_values(p.gain, shape), v_0=_values(start.v[0], shape),
        u_0=_values(start.u[0], shape), v_min=_values(s.v_min, shape), v_max=_values(s.v_max, shape),
        dt=s.dt, spike_on=order.spike_on, reset=order.reset, rests=order.rests, substeps=order.substeps,
        u_from=order.u_from,
    )  # fmt: skip
    behind = _bias_behind(connection)
    _add_weighted(into, connection, node, number, given, np.ones(shape), scale, behind)


def _add_weighted(
    into: _Graph, connection: Connection, node: nir.NIRNode, number: int, given: Sequence[int], factor: Numbers,
    scale: float, behind: Numbers | None,
) -> None:  # fmt: skip
    """Weights and neurons, which multiply what they get by a factor; with what is between, and recurrence."""
    weight, bias = _numbers(connection)
    if behind is not None:
        bias = np.zeros_like(bias)
    each = factor.reshape(len(weight), -1)[:, 0]
    if (factor.reshape(len(weight), -1) != each[:, None]).any():
        raise ExchangeError(f"layer {number} has a beta that differs between the places of a channel, expected one")
    across = each.reshape(-1, *[1] * (weight.ndim - 1))
    into.add(f"weights_{number}", _weights(connection, weight * scale / across, bias / each, given))
    synapse: ExponentialSynapse | None = connection.synapse
    shape = node.input_type["input"]
    between: list[tuple[str, nir.NIRNode]] = []
    if synapse is not None and not isinstance(node, nir.CubaLIF):
        ones = np.ones(tuple(shape))
        between.append(("synapse", nir.LI(tau=into.dt / (1 - float(synapse.decay)) * ones, r=ones, v_leak=0 * ones)))
        if behind is not None:
            if len(shape) > 1:
                raise ExchangeError(f"layer {number} adds its bias behind a synapse, which NIR has of rows alone")
            between.append(("bias", nir.Affine(_single(np.eye(len(weight))), _single(behind / each))))
    feedback = connection.feedback
    if feedback is None:
        for name, one in between:
            into.add(f"{name}_{number}", one)
        into.add(f"neurons_{number}", node)
        return
    library = into.library
    if library.recurrence == "none":
        raise ExchangeError(f"layer {number} is recurrent, which {library.name}'s import ends in an error of, or drops")
    back = feedback.weight.detach().double().numpy() / across
    loop = nir.Linear(_single(back)) if weight.ndim == 2 else _convolution(feedback, back, 0 * each, tuple(shape))
    if library.recurrence == "loop":
        into.add(f"neurons_{number}", node)
        into.nodes[f"w_rec_{number}"] = loop
        into.edges += [(into.last, f"w_rec_{number}"), (f"w_rec_{number}", into.last)]
        return
    inner = _Graph(library, into.dt)
    inner.add("input", nir.Input(np.array(shape)))
    for name, one in between:
        inner.add(name, one)
    inner.add("lif", node)
    inner.nodes["w_rec"] = loop
    inner.edges += [("lif", "w_rec"), ("w_rec", between[0][0] if between else "lif")]
    inner.add("output", nir.Output(np.array(shape)))
    into.add(f"neurons_{number}", nir.NIRGraph(inner.nodes, inner.edges, {}))


def _weights(connection: Connection, weight: Numbers, bias: Numbers, given: Sequence[int]) -> nir.NIRNode:
    if isinstance(connection.input, nn.Linear):
        return nir.Affine(_single(weight), _single(bias))
    return _convolution(connection.input, weight, bias, given)


def _convolution(own: Any, weight: Numbers, bias: Numbers, given: Sequence[int]) -> nir.NIRNode:
    padding = own.padding
    if isinstance(padding, str):
        padding = tuple((k - 1) * d // 2 for k, d in zip(own.kernel_size, own.dilation, strict=True))
    if weight.ndim == 3:
        return nir.Conv1d(
            given[-1], _single(weight), own.stride[0], padding[0], own.dilation[0], own.groups, _single(bias)
        )  # fmt: skip
    found = nir.Conv2d(
        cast("tuple[int, int]", tuple(given[-2:])), _single(weight), own.stride, padding, own.dilation, own.groups,
        _single(bias),
    )  # fmt: skip
    # nir 1.0.8 takes the height of a kernel for its width as well, and channels of a group for all.
    sizes = zip(given[-2:], own.kernel_size, own.stride, padding, own.dilation, strict=True)
    places = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes]
    found.input_type = {"input": np.array(tuple(given))}
    found.output_type = {"output": np.array([len(weight), *places])}
    return found


__all__ = ["graph"]
