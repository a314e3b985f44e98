"""From a resolved experiment to its data set and network: the one place where names become modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from izhi import data
from izhi.data import Dataset
from izhi.errors import SettingError
from izhi.experiments.settings import Experiment, build_neuron
from izhi.kernels import Spikes
from izhi.network.connections import (
    CONNECTIONS,
    AxonalDelay,
    ConductanceSynapse,
    Connection,
    Delay,
    ExponentialSynapse,
    Linear,
    SynapticDelay,
)
from izhi.network.layers import Layer, Network
from izhi.neurons import Neuron
from izhi.seeds import Purpose, derive_seed


def _connection(e: Experiment, inputs: int, outputs: int, neuron: Neuron) -> Connection:
    kind, recurrent = CONNECTIONS[e.connection]
    extra: dict[str, Any] = {"recurrent": recurrent}
    if issubclass(kind, ExponentialSynapse):
        extra["tau"] = e.tau
    if kind is ConductanceSynapse:
        extra.update(inhibitory=e.inhibitory, reversal=neuron.reversal, implicit=neuron.implicit)
    return kind(inputs, outputs, **extra)


def _delay(e: Experiment, inputs: int, outputs: int) -> Delay | None:
    if not e.delays:
        return None
    if e.delay_type == "synaptic":
        return SynapticDelay(inputs, outputs, e.delays)
    return AxonalDelay(inputs, e.delays)


def dataset(e: Experiment, report: Callable[[str], None] = lambda line: None) -> Dataset:
    """The data set of a resolved experiment; ``report`` is told what is downloaded."""
    return data.load(e.dataset, report, fold=e.fold, best_inputs=e.best_inputs)


def network(
    e: Experiment,
    inputs: int,
    classes: int,
    *,
    start: Mapping[str, Any] | None = None,
    samples: Callable[[Network], Spikes] | None = None,
) -> Network:
    """The network of a resolved experiment, its weights drawn from ``e.seed``.

    Args:
        e: the experiment.
        inputs: width of an encoded sample.
        classes: number of classes.
        start: weights of a float network of the same structure, to quantise in place of those drawn.
        samples: encoded samples for a network, by which the formats of quantised states are chosen;
            None for formats that a checkpoint will replace.
    """
    found = _float_network(e, inputs, classes)
    if start is not None:
        found.load_state_dict(dict(start))
    if not e.is_quantized:
        return found
    try:
        from izhi import quantization
    except ImportError:
        raise SettingError("brevitas is not installed; pip install 'izhi[quantize]'") from None
    formats = None
    if e.state_bits is not None:
        formats = (
            quantization.usual_formats(found, e.state_bits)
            if samples is None
            else quantization.formats(found, samples(found), e.state_bits)
        )
    return quantization.quantized(
        found, e.weight_bits, formats, per_neuron=e.weight_scale == "neuron"
    )


def _float_network(e: Experiment, inputs: int, classes: int) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(e.seed, Purpose.WEIGHTS))
        widths = [*e.hidden, classes] if e.readout == "spikes" else list(e.hidden)
        layers = []
        before = inputs
        for width in widths:
            neuron = build_neuron(e, width)
            connection = _connection(e, before, width, neuron)
            layers.append(Layer(connection, neuron, _delay(e, before, width)))
            before = width
        readout: Connection | None = None
        if e.readout == "current":
            readout = Linear(before, classes)
        elif e.readout == "membrane":
            readout = ExponentialSynapse(before, classes, tau=e.tau)
        return Network(layers, readout, keep_every=e.keep_every, dropout=e.dropout)
