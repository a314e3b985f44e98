"""What NIR's nodes that fire add to a network: layers of the weights that wait for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch

from izhi.errors import ExchangeError, IzhiError
from izhi.exchange.graph import Node
from izhi.exchange.izhikevich import COEFFICIENTS
from izhi.exchange.row import Numbers, Row, Shape, Weights, check_size, of_each, padding_of, shared
from izhi.network import Layer
from izhi.network.connections import ExponentialSynapse
from izhi.neurons import LIF, Izhikevich, Neuron
from izhi.neurons.neuron import NeuronLayer
from izhi.spec import ORDERS, EventOrder, IzhikevichParameters, ResetMode

#: Neurons that may follow one another, or the input, without weights between: each then has a weight of its own.
_MOST_ALONE = 4096
#: Names of the node Izhikevich, and of the parameters.
_IZHIKEVICH = {"v_threshold": "threshold", "r": "gain", "v_0": "v0", "u_0": "u0"}


def lif(row: Row, node: Node) -> None:
    """v ← β·v + k·I, spike when v > threshold, then v ← reset; v is counted from v_leak."""
    leaky, current_based = node.kind != "IF", node.kind == "CubaLIF"
    tau = "tau_mem" if current_based else "tau"
    beta = row.decay(node, tau) if leaky else np.ones(())
    factor, synapse = _gain(row, node, tau), None
    if current_based:
        synapse = row.synapse_of(node, "tau_syn")
        factor = factor * _gain_of_synapse(row, node)
    rest = node.numbers("v_leak") if leaky else np.zeros(())
    threshold = node.numbers("v_threshold") - rest
    reset = (node.numbers("v_reset") if "v_reset" in node.values else np.zeros(())) - rest
    if (threshold <= 0).any() or (reset >= threshold).any():
        raise ExchangeError(f"{node} has a threshold at or below its v_leak or v_reset, expected it above")
    if row.library.fires_at_threshold:
        threshold = np.nextafter(threshold.astype(np.float32), -np.inf, dtype=np.float32).astype(np.float64)
    mode, late = _reset_of(row, node)
    values = {"beta": beta, "threshold": threshold}
    if mode == "value" and (reset != 0).any():
        values["v_reset"] = reset
    elif mode == "value":
        mode = "zero"
    shape = _prepare(row, node)
    each = {name: shared(one, shape, f"{name} of {node}") for name, one in values.items()}
    size, varied = _size(each, shape)
    first: dict[str, Any] = {name: float(one.mean()) for name, one in each.items()}
    neuron = LIF(**first, size=size, learn=varied, reset=mode, reset_delay=late)
    _learned(neuron, each, varied, size)
    _join(row, node, neuron, factor, synapse)


def _gain(row: Row, node: Node, tau: str) -> Numbers:
    """What the current is multiplied by where it adds to v."""
    if row.library.decay == "exponential" or (node.kind, row.library.name) == ("IF", "norse"):
        return np.ones(())
    return node.numbers("r") * row.dt / (node.numbers(tau) if node.kind != "IF" else 1.0)


def _gain_of_synapse(row: Row, node: Node) -> Numbers:
    """How many times the current of a synapse here, (1 − decay) times the sum of what came in, that of a library is."""
    decay = row.decay(node, "tau_syn")
    if row.library.name == "rockpool":  # what comes in decays in its own step
        return decay / (1 - decay)
    if row.library.name == "norse":  # it adds what comes in as it is, and writes 1
        return 1 / (1 - decay)
    return node.numbers("w_in") if "w_in" in node.values else np.ones(())


def _reset_of(row: Row, node: Node) -> tuple[ResetMode, bool]:
    """What neurons do after a spike, and whether in the step behind it, which matters for snnTorch's alone."""
    written = str(node.metadata.get("reset", ""))
    if written == "subtract":
        late = node.metadata.get("reset_delay")
        return "subtract", late is None or bool(late)
    if written == "soft" or row.reset == "subtract":
        return ("subtract" if row.library.name == "snntorch" and not written else "soft"), True
    return "value", True


def izhikevich(row: Row, node: Node) -> None:
    """Coefficients that differ between neurons become learned ones."""
    order = EventOrder(
        node.text("spike_on") or "new v", node.text("reset") or "after",  # type: ignore[arg-type]
        bool(node.whole("rests")[0]), node.whole("substeps")[0],  # type: ignore[arg-type]
        node.text("u_from") or "new v",  # type: ignore[arg-type]
    )  # fmt: skip
    name = next((name for name, known in ORDERS.items() if known == order), None)
    if name is None:
        raise ExchangeError(f"{node} has events in the order {tuple(order.__dict__.values())}, which none here has")
    (step,) = node.numbers("dt").ravel()
    values = {_IZHIKEVICH.get(name, name): node.numbers(name) for name in COEFFICIENTS}
    shape = _prepare(row, node)
    each = {own: shared(one, shape, f"{own} of {node}") for own, one in values.items()}
    size, varied = _size(each, shape)
    for own in ("v0", "u0", "v_min", "v_max"):
        if own in varied:
            raise ExchangeError(f"{node} has a {own} for each neuron, expected one for all of a layer")
    # Learned coefficients are held within bounds that follow from these.
    first: dict[str, Any] = {own: float(one.max() if own == "b2" else one.ravel()[0]) for own, one in each.items()}
    try:
        parameters = IzhikevichParameters(**first, dt=float(step), order=name)
        neuron = Izhikevich(parameters, size=size, learn=varied)
    except IzhiError as error:
        raise ExchangeError(f"{node}: {error}") from None
    _learned(neuron, each, varied, size)
    held = neuron.coefficients()._asdict()
    for own in varied:
        if not torch.equal(torch.as_tensor(held[own]), neuron.learned[own]):
            raise ExchangeError(f"{node} has {own} beyond what neurons here may learn, expected stable dynamics")
    _join(row, node, neuron, np.ones(()), None)


def _prepare(row: Row, node: Node) -> Shape:
    """The shape of a layer's neurons; where no weights wait for them, each gets one of its own."""
    if row.weights is None:
        shape = row.shape
        if shape is None:
            shape = row.first = row.shape = node.numbers("r").shape
            check_size(shape, f"of {node}")
        if shape[0] > _MOST_ALONE:
            raise ExchangeError(
                f"{shape[0]:,} neurons or channels of {node} have no weights before them, expected some"
            )
        if len(shape) != 1:
            channels = shape[0]
            kernel = np.eye(channels).reshape(channels, channels, *[1] * (len(shape) - 1))
            kind = Node(node.name, f"Conv{len(shape) - 1}d", {})
            ones = (1,) * (len(shape) - 1)
            options = {"stride": ones, "padding": (0,) * len(ones), "dilation": ones, "groups": 1}
            row.wait(Weights(kind, kernel * row.scale, np.zeros(channels), options, shape))
        else:
            alone = Node(node.name, "Affine", {})
            row.wait(Weights(alone, np.eye(shape[0]) * row.scale, np.zeros(shape[0]), {}, shape))
    weights = row.weights
    assert weights is not None, "weights wait for these neurons"
    return weights.shape


def _join(row: Row, node: Node, neuron: NeuronLayer[Any], factor: Numbers, synapse: ExponentialSynapse | None) -> None:
    """A layer of the weights that wait and these neurons."""
    weights = row.weights
    assert weights is not None, "weights wait for these neurons"
    if row.synapse is not None and synapse is None:
        synapse = row.synapse_of(row.synapse, "tau")
    back, behind = row.way.feedback.get(node.name), row.synapse
    if behind is not None:
        if back is not None:
            raise ExchangeError(f"spikes come back to {node} behind its synapse {behind}, expected before it")
        back = row.way.feedback.get(behind.name)
    feedback = None if back is None else _feedback(row, back, weights, factor)
    weights.times(factor, "factor")
    if row.behind is not None:
        row.behind = row.behind * of_each(factor, weights.shape, str(node))
    row.modules.append(Layer(row.connected(synapse, feedback), cast(Neuron, neuron), row.delay))
    row.shape, row.weights, row.delay, row.synapse, row.behind = weights.shape, None, None, None, None


def _feedback(row: Row, node: Node, weights: Weights, factor: Numbers) -> Numbers:
    """Weights by which spikes come back, times what acts behind them; their bias is added to that of the layer."""
    weight = node.numbers("weight")
    bias = node.numbers("bias") if "bias" in node.values else np.zeros(len(weight))
    square = (weights.shape[0],) * 2
    if weight.shape[:2] != square or weight.ndim != weights.weight.ndim or bias.shape != square[:1]:
        raise ExchangeError(f"{node}, by which spikes come back, has shape {weight.shape}, expected {square}")
    kernel = weight.shape[2:]
    if kernel and kernel != weights.weight.shape[2:]:
        raise ExchangeError(f"{node}, by which spikes come back, has another kernel than the layer, expected the same")
    if kernel and any(
        2 * p != k - 1 for p, k in zip(padding_of(node, kernel, (1,) * len(kernel)), kernel, strict=True)
    ):
        raise ExchangeError(f"{node}, by which spikes come back, changes their size, expected padding that keeps it")
    found = Weights(node, weight, bias, {}, weights.shape)
    if row.synapse is not None:
        found.times(row.synapse.numbers("r"), "r")
    weights.bias = weights.bias + found.bias
    found.times(factor, "factor")
    return found.weight


def _size(values: Mapping[str, Numbers], shape: Shape) -> tuple[Shape | None, tuple[str, ...]]:
    """The size of coefficients that differ between neurons, and which they are."""
    varied = tuple(name for name, one in values.items() if one.ndim)
    if not varied:
        return None, ()
    whole = any(values[name].shape == shape for name in varied)
    return (shape if whole else (shape[0], *[1] * (len(shape) - 1))), varied


def _learned(
    neuron: NeuronLayer[Any], values: Mapping[str, Numbers], names: tuple[str, ...], size: Shape | None
) -> None:
    """Give learned coefficients their values."""
    with torch.no_grad():
        for name in names:
            neuron.learned[name].copy_(torch.from_numpy(np.array(np.broadcast_to(values[name], size or ()))))


__all__ = ["izhikevich", "lif"]
