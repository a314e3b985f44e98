"""From a resolved experiment to a network: the one place where names become modules."""

from __future__ import annotations

import torch

from izhi.config import Experiment, build_neuron
from izhi.connections import (
    CONNECTIONS,
    AxonalDelay,
    ConductanceSynapse,
    Connection,
    Delay,
    ExponentialSynapse,
    Linear,
    SynapticDelay,
    reversal_potentials,
)
from izhi.network import Layer, Network, Neuron
from izhi.neurons import Izhikevich


def _connection(e: Experiment, inputs: int, outputs: int, neuron: Neuron) -> Connection:
    kind = CONNECTIONS[e.connection]
    if kind is ConductanceSynapse:
        implicit = (
            neuron.parameters_.dt * neuron.parameters_.gain if isinstance(neuron, Izhikevich) else 1
        )
        return ConductanceSynapse(
            inputs,
            outputs,
            tau=e.tau,
            inhibitory=e.inhibitory,
            reversal=reversal_potentials(neuron),
            implicit=implicit,
        )
    if kind is ExponentialSynapse:
        return ExponentialSynapse(inputs, outputs, tau=e.tau)
    return kind(inputs, outputs)


def _delay(e: Experiment, inputs: int, outputs: int) -> Delay | None:
    if not e.delays:
        return None
    if e.delay_type == "synaptic":
        return SynapticDelay(inputs, outputs, e.delays)
    return AxonalDelay(inputs, e.delays)


def network(e: Experiment, inputs: int, classes: int) -> Network:
    """The network of a resolved experiment, its weights drawn from ``e.seed``.

    Args:
        e: the experiment.
        inputs: width of an encoded sample.
        classes: number of classes.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(e.seed)
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
