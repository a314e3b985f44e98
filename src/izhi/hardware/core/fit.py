"""Networks in larger cores: rows and columns of zeros are added, and the added neurons never fire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from izhi.errors import SettingError
from izhi.hardware.core.chosen import constants_of, require_core
from izhi.hardware.core.shape import CoreShape, LayerShape, ReadoutShape, bits_of_all
from izhi.hardware.fixed import IntegerLayer, IntegerNetwork, IntegerReadout, IntegerSynapse
from izhi.hardware.fixed.network import IntegerProjection
from izhi.hardware.networks import Array

#: Bits that constants of a larger core have more than those of its network, and by how much more their products are
#: shifted: scales of weights may be four times as large or as small.
SPARE_BITS = 2


def larger(shape: CoreShape, sizes: Sequence[int] | None = None) -> CoreShape:
    """A core for networks of up to these sizes, with room for larger constants as well.

    Args:
        shape: of a core for one network.
        sizes: inputs, neurons of each layer, and with a readout its classes; None for those of the network.

    Raises:
        SettingError: if there are more or fewer of them, one is less than the network's, or another one though there
            are convolutions or pools.
    """
    own = shape.sizes
    sizes = own if sizes is None else list(sizes)
    given, expected = (", ".join(map(str, x)) for x in (sizes, own))
    if len(sizes) != len(own) or any(a < b for a, b in zip(sizes, own, strict=True)):
        raise SettingError(f"sizes is {given}, expected at least the network's own: {expected}")
    if sizes != own and any(x.pools or x.window for x in shape.projections):
        raise SettingError(
            f"sizes is {given}, but a network with convolutions or pools has a core of its own sizes: {expected}"
        )
    layers = tuple(
        replace(
            s, inputs=sizes[k], outputs=sizes[k + 1], shift=s.shift + SPARE_BITS,
            constants=tuple(bits + SPARE_BITS * (1 + (name == "multiplier")) for name, bits in s.bits.items()),
        )
        for k, s in enumerate(shape.layers)
    )  # fmt: skip
    r = shape.readout
    if r is not None:
        m = r.membrane
        r = replace(
            r, inputs=sizes[-2], outputs=sizes[-1],
            membrane=None if m is None else replace(m, decay_bits=m.decay_bits + SPARE_BITS),
            multiplier_bits=r.multiplier_bits + SPARE_BITS, bias_bits=r.bias_bits + SPARE_BITS,
        )  # fmt: skip
    return CoreShape(layers, r, shape.steps)


def fitted(shape: CoreShape, network: IntegerNetwork, steps: int) -> IntegerNetwork:
    """A network of exactly a core's sizes that gives the scores of ``network``, and 0 for further classes.

    Inputs and neurons that the network lacks have weights of 0; such neurons never fire.

    Raises:
        SettingError: naming the value for which the core has no room.
    """
    require_core(network, largest_input=shape.layers[0].largest_input)
    _require(len(network.layers) == len(shape.layers), "layers", len(network.layers), len(shape.layers))
    _require(steps <= shape.steps, "steps", steps, f"at most {shape.steps}")
    layers = tuple(
        _layer(s, layer, f"layer {number}: ")
        for number, (s, layer) in enumerate(zip(shape.layers, network.layers, strict=True), start=1)
    )
    has, needs = (("a" if x is not None else "no") for x in (shape.readout, network.readout))
    _require(has == needs, "readout", needs, has)
    r = network.readout
    if shape.readout is None or r is None:  # the host computes the scores of each step from spikes
        return IntegerNetwork(layers)
    reads = "last" if network.reads == "steps" else network.reads
    _require(reads == shape.readout.reads, "scores", network.reads, shape.readout.reads)
    return IntegerNetwork(layers, _readout(shape.readout, r), reads)


def _require(holds: bool, name: str, value: object, has: object) -> None:
    if not holds:
        raise SettingError(
            f"the network does not fit the core: {name} {value}, the core has {has}; build one for it by izhi rtl"
        )


def _require_all(where: str, equal: Mapping[str, Sequence[object]], room: Mapping[str, Sequence[int]]) -> None:
    """Raise SettingError unless values are equal to those of the core, or at most as large."""
    for name, (value, has) in equal.items():
        _require(value == has, where + name, value, has)
    for name, (size, most) in room.items():
        _require(size <= most, where + name, size, f"at most {most}")


def _require_bits(where: str, constants: Mapping[str, Array], bits: Mapping[str, int]) -> None:
    for name, values in constants.items():
        needs = bits_of_all(values)
        _require(needs <= bits[name], f"{where}{name} of", f"{needs} bits", bits[name])


def _grown(values: Array, *sizes: int) -> Array:
    return np.pad(values, [(0, size - n) for size, n in zip(sizes, values.shape, strict=True)])


def _require_pools(where: str, projection: IntegerProjection, s: LayerShape | ReadoutShape) -> None:
    _require(projection.pools == s.pools, where + "pools", len(projection.pools), f"{len(s.pools)}, or others")


def _layer(s: LayerShape, layer: IntegerLayer, where: str) -> IntegerLayer:
    neuron, synapse, delay = layer.neuron, layer.synapse, layer.delay
    of_layer, of_core = (neuron.kind, neuron.operations, layer.window), (s.kind, s.neuron.operations, s.window)
    same = zip(of_layer, of_core, strict=True)
    _require_all(where, dict(zip(("neurons", "step", "window"), same, strict=True)), {})
    _require_pools(where, layer, s)
    _require(not s.pools or layer.inputs == s.inputs, where + "inputs", layer.inputs, s.inputs)
    _require_all(where, {
        "sums of a synapse of": (None if synapse is None else synapse.number, s.trace),
        "currents of": (layer.current_format, s.current),
        **{f"{name} of": (number, s.states[name]) for name, number in neuron.formats.items()},
        "fraction of coefficients": (neuron.fraction, s.fraction),
    }, {
        "inputs": (layer.inputs, s.inputs), "delay": (0 if delay is None else int(delay.max()), s.delay),
        "neurons": (layer.outputs, s.outputs), "weight bits": (layer.weight_bits, s.weight_bits),
        "shift": (layer.shift, s.shift),
    })  # fmt: skip
    _require(layer.feedback is None or s.recurrent, where + "recurrence", "wanted", "none")
    constants = {name: _grown(x, s.channels) for name, x in constants_of(layer).items()}
    # A larger shift divides by more; a multiplier as many times as large leaves every rounding as it was.
    constants["multiplier"] = constants["multiplier"] << (s.shift - layer.shift)
    if s.step is None:
        constants["threshold"][layer.channels :] = (1 << (s.bits["threshold"] - 1)) - 1
    else:  # nothing keeps neurons of any step from firing
        _require(layer.channels == s.channels, where + "neurons", layer.channels, s.channels)
    _require_bits(where, constants, s.bits)
    feedback = None
    if s.recurrent:
        own = np.zeros((0, 0), np.int64) if layer.feedback is None else layer.feedback
        feedback = _grown(own, s.outputs, s.outputs)
    constants = {name: np.repeat(values, s.places) for name, values in constants.items()}
    multiplier, decay = constants.pop("multiplier"), constants.pop("decay", None)
    return replace(
        layer, weight=_grown(layer.weight, s.channels, s.fan_in), weight_bits=s.weight_bits, multiplier=multiplier,
        shift=s.shift, neuron=neuron.with_values(constants), feedback=feedback,
        synapse=None if synapse is None or decay is None else IntegerSynapse(synapse.number, decay),
        delay=None if delay is None else _grown(delay, s.features),
    )  # fmt: skip


def _readout(s: ReadoutShape, readout: IntegerReadout) -> IntegerReadout:
    where, own, m = "readout: ", readout.membrane, s.membrane
    _require((own is None) == (m is None), where + "membrane", *("none" if x is None else "one" for x in (own, m)))
    _require_all(where, {} if own is None or m is None else {
        "sums of": (own.number, m.trace), "currents of": (own.current_format, m.current),
        "fraction of the decay": (own.fraction, m.fraction), "shift": (own.shift, m.shift),
    }, {
        "classes": (readout.outputs, s.outputs), "inputs": (readout.features, s.features),
        "weight bits": (readout.weight_bits, s.weight_bits),
    })  # fmt: skip
    _require_pools(where, readout, s)
    constants = {name: _grown(x, s.outputs) for name, x in constants_of(readout).items()}
    _require_bits(where, constants, s.bits)
    weight = _grown(readout.weight, s.outputs, s.features)
    membrane = None if own is None else replace(own, decay=constants["decay"])
    return IntegerReadout(
        weight, s.weight_bits, constants["multiplier"], constants["bias"], membrane=membrane, pools=s.pools
    )
