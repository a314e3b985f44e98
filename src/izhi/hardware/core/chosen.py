"""The shape of a core for a network in integers, and what no core runs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from izhi.errors import SettingError
from izhi.hardware.core.shape import (
    CoreShape,
    LayerShape,
    MembraneShape,
    ReadoutShape,
    adds_pairs,
    bits_of_all,
    require_layers,
    require_score,
)
from izhi.hardware.fixed import NEURONS, IntegerLayer, IntegerNetwork
from izhi.hardware.fixed.arithmetic import Integers
from izhi.hardware.fixed.network import MOST_INPUT, IntegerProjection
from izhi.hardware.networks import GRADED


def constants_of(projection: IntegerProjection) -> dict[str, Integers]:
    """The constants of the neurons at a position, (channels,) each; for a matrix of all neurons, or of the classes."""
    count, places = projection.outputs, projection.places
    return {name: np.broadcast_to(x, count)[::places] for name, x in projection.constants.items()}


def largest_input(encoding: Mapping[str, object]) -> int:
    """Most spikes of an input in a step, by the settings of an encoding."""
    levels = encoding.get("levels")
    if encoding.get("encoding") in GRADED and isinstance(levels, int):
        return levels
    return MOST_INPUT if encoding.get("counts") else 1


def require_core(network: IntegerNetwork, *, largest_input: int = 1, steps: int = 1) -> None:
    """Raise SettingError for a network that no core runs, naming what to change.

    Args:
        network: in integers.
        largest_input: most spikes of an input in a step.
        steps: of an inference, over which a readout's scores of each step are added.
    """
    require_layers(len(network.layers))
    if network.readout is None and network.reads in ("max", "last"):
        raise SettingError(
            f"the scores are the {network.reads} spikes of the last layer, which the core does not have; add a readout"
        )
    for number, projection in enumerate(network.projections, start=1):
        where = f"part {number} of the network"
        for pool in projection.pools:
            (kh, kw), (sh, sw) = pool.window.kernel, pool.window.stride
            if kh > sh or kw > sw:
                raise SettingError(
                    f"{where} is behind a pool of {kh} × {kw} that moves by {sh} × {sw}, whose windows overlap; let it"
                    " move by its size"
                )
            if pool.kind == "max" and largest_input > 1:
                raise SettingError(
                    f"{where} is behind a pool of the largest of counts, which the core does not have; use the mean, or"
                    " spikes"
                )
            largest_input = pool.most(largest_input)
        for name, values in projection.constants.items() if projection.window is not None else ():
            if (values.reshape(projection.channels, -1) != values[:: projection.places, None]).any():
                raise SettingError(
                    f"{where} is a convolution whose {name} differs between places, but the core has one for each"
                    " channel; learn it for each channel, or for all"
                )
        largest_input = 1
    readout = _readout(network, steps)
    if readout is not None and readout.is_stepwise:
        require_score(readout)


def takes_pairs(network: IntegerNetwork, largest_input: int = 1) -> bool:
    """Whether spikes of two inputs can be added in a cycle, if an input fires so often in a step."""
    return largest_input == 1 and adds_pairs(network.layers[0], network.layers[0].delay is not None)


def shape_of(
    network: IntegerNetwork, steps: int, *, lanes: int = 32, units: int = 2, largest_input: int = 1, spikes: int = 1
) -> CoreShape:
    """The shape of a core for a network in integers.

    Args:
        network: with at least one layer of neurons.
        steps: the most steps of an inference.
        lanes: weights that are added in a cycle; fewer in narrow layers.
        units: neurons that are updated in a cycle.
        largest_input: most spikes of an input in a step.
        spikes: of the input that are added in a cycle, 1 or 2.

    Raises:
        SettingError: for a network that no core runs.
    """
    require_core(network, largest_input=largest_input, steps=steps)
    layers = tuple(
        _layer(layer, lanes, units, 1 if k else largest_input, 1 if k else spikes)
        for k, layer in enumerate(network.layers)
    )
    return CoreShape(layers, _readout(network, steps), steps)


def _readout(network: IntegerNetwork, steps: int) -> ReadoutShape | None:
    readout, membrane = network.readout, None
    if readout is None:
        return None
    bits = bits_of_all(readout.multiplier), bits_of_all(readout.bias)
    if (own := readout.membrane) is not None:
        membrane = MembraneShape(own.number, own.current_format, own.fraction, own.shift, bits_of_all(own.decay))
    return ReadoutShape(
        readout.inputs, readout.outputs, readout.weight_bits, *bits, steps, pools=readout.pools, membrane=membrane,
        reads="last" if network.reads == "steps" else network.reads,
    )  # fmt: skip


def _layer(layer: IntegerLayer, lanes: int, units: int, largest_input: int, spikes: int) -> LayerShape:
    neuron = layer.neuron
    v, *others = neuron.formats.values()
    is_named = neuron.kind in NEURONS
    while lanes % (2 * units) == 0 and lanes // 2 >= layer.channels:
        lanes //= 2
    return LayerShape(
        neuron.kind, layer.inputs, layer.outputs, layer.weight_bits,
        layer.current_format, v, (others or [v])[0], neuron.fraction, layer.shift, layer.feedback is not None,
        tuple(map(bits_of_all, layer.constants.values())), lanes, min(units, lanes), largest_input,
        None if layer.synapse is None else layer.synapse.number,
        0 if layer.delay is None else max(1, int(layer.delay.max())), layer.window, layer.pools, spikes,
        tuple(others[1:]), None if is_named else neuron.operations, () if is_named else neuron.initial,
    )  # fmt: skip
