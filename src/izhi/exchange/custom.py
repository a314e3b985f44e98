"""Neurons of the user's own: the node LIF where their equation is that of LIF, else a node with their reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
import torch

from izhi.equation import model_of
from izhi.equation.leaky import LeakyForm, leaky_form
from izhi.errors import ExchangeError, shown
from izhi.exchange.builder import Numbers
from izhi.exchange.conventions import NIR, Library
from izhi.exchange.conversion import ConversionState, NodeCodec, NodeTarget
from izhi.exchange.graph import Node
from izhi.exchange.lif import leaky_node, subtraction
from izhi.neurons.custom import CustomNeuron
from izhi.spec import CustomSpec, Shape


@dataclass(eq=False)
class Custom(nir.NIRNode):
    """Neurons of a function that the file names, but does not contain; docs/nir.md specifies the node."""

    reference: str  # "module:name" of the function
    names: str  # Of the parameters, comma-separated
    values: np.ndarray  # A parameter of each neuron in each row; all have the shape of the neurons

    def __post_init__(self) -> None:
        shape = np.array(np.shape(self.values)[1:])
        self.input_type, self.output_type = {"input": shape}, {"output": shape}


def _read(state: ConversionState, node: Node) -> None:
    reference, names = node.text("reference"), (node.text("names") or "").split(",")
    if reference is None or ":" not in reference:
        raise ExchangeError(f"{node} has the reference {shown(reference)}, expected module:name")
    model, values = model_of(reference), node.numbers("values")
    if tuple(names) != tuple(model.parameters) or len(values) != len(names):
        raise ExchangeError(
            f"{node} has {len(values)} of the parameters {', '.join(names)}, expected {', '.join(model.parameters)}"
        )

    def make(each: dict[str, Numbers], size: Shape | None, learn: tuple[str, ...]) -> CustomSpec:
        return model.spec(**{name: float(one.mean()) for name, one in each.items()}).replace(size=size, learn=learn)

    state.add_neurons(node, dict(zip(names, values, strict=True)), make, np.ones(()))


def _write(neuron: CustomNeuron, target: NodeTarget) -> tuple[nir.NIRNode, Numbers]:
    values = {name: target.spread(value) for name, value in neuron.coefficients()._asdict().items()}
    form, library = leaky_form(neuron.model.equation, values), target.library
    start = target.spread(neuron.initial_state(torch.zeros(1, *target.features)).v[0])
    if (
        form is not None
        and np.allclose(start, form.rest, rtol=1e-6, atol=1e-9)
        and (library is NIR or _is_usual(form, library))
    ):
        return _as_leaky(form, target)
    if library is not NIR:
        raise ExchangeError(
            f"{target.label} has neurons {neuron.model.reference}, whose equation or reset {library.name} does not"
            " have; write a file by NIR's own equations"
        )
    node = Custom(neuron.model.reference, ",".join(values), np.stack(list(values.values())))
    return node, np.ones(target.features)


def _is_usual(form: LeakyForm, library: Library) -> bool:
    """Whether v rests at 0, and is reset as a library's neurons are."""
    is_reset = form.v_reset is None if library.counts else form.v_reset is not None and not form.v_reset.any()
    return is_reset and not form.rest.any()


def _as_leaky(form: LeakyForm, target: NodeTarget) -> tuple[nir.NIRNode, Numbers]:
    threshold: Any = form.threshold - form.rest
    if not form.is_strict:
        threshold = np.nextafter(threshold.astype(np.float32), -np.inf, dtype=np.float32).astype(np.float64)
    v_reset = np.zeros_like(threshold) if form.v_reset is None else form.v_reset - form.rest
    node, factor = leaky_node(target, form.beta, threshold, v_reset, form.rest)
    if form.v_reset is None and target.library is NIR:
        node.metadata = subtraction(target, "soft", True)
    return node, factor / form.factor


CODEC = NodeCodec(("Custom",), _read, _write, contains_synapse=False)
