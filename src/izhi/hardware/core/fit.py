"""Networks in larger cores: rows and columns of zeros are added, and the added neurons never fire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from izhi.errors import SettingError
from izhi.hardware.core.shape import CoreShape, LayerShape, ReadoutShape, bits_of_all, constants_of, require_core
from izhi.hardware.fixed import IntegerLayer, IntegerNetwork, IntegerReadout, IntegerSynapse
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
        r = replace(
            r, inputs=sizes[-2], outputs=sizes[-1],
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
    return IntegerNetwork(layers, None if shape.readout is None or r is None else _readout(shape.readout, r))


def _require(holds: bool, name: str, value: object, has: object) -> None:
    if not holds:
        raise SettingError(
            f"the network does not fit the core: {name} {value}, the core has {has}; build one for it by izhi rtl"
        )


def _require_equal(where: str, *values: tuple[str, object, object]) -> None:
    for name, value, has in values:
        _require(value == has, where + name, value, has)


def _require_room(where: str, *values: tuple[str, int, int]) -> None:
    for name, value, has in values:
        _require(value <= has, where + name, value, f"at most {has}")


def _require_bits(where: str, values: Array, bits: int) -> None:
    _require(bits_of_all(values) <= bits, f"{where} of", f"{bits_of_all(values)} bits", bits)


def _grown(values: Array, *sizes: int) -> Array:
    return np.pad(values, [(0, size - n) for size, n in zip(sizes, values.shape, strict=True)])


def _require_pools(where: str, projection: IntegerLayer | IntegerReadout, s: LayerShape | ReadoutShape) -> None:
    _require(projection.pools == s.pools, where + "pools", len(projection.pools), f"{len(s.pools)}, or others")


def _layer(s: LayerShape, layer: IntegerLayer, where: str) -> IntegerLayer:
    neuron, synapse = layer.neuron, layer.synapse
    _require_equal(where, ("neurons", neuron.kind, s.kind), ("window", layer.window, s.window))
    _require_pools(where, layer, s)
    _require(not s.pools or layer.inputs == s.inputs, where + "inputs", layer.inputs, s.inputs)
    delay = 0 if layer.delay is None else int(layer.delay.max())
    _require_room(
        where, ("inputs", layer.inputs, s.inputs), ("delay", delay, s.delay), ("neurons", layer.outputs, s.outputs),
        ("weight bits", layer.weight_bits, s.weight_bits), ("shift", layer.shift, s.shift),
    )  # fmt: skip
    _require(layer.feedback is None or s.recurrent, where + "recurrence", "wanted", "none")
    _require_equal(
        where, ("sums of a synapse of", None if synapse is None else synapse.number, s.trace),
        ("currents of", layer.current_format, s.current), ("v of", neuron.formats.v, s.v),
        ("u of", neuron.formats.u, s.u), ("fraction of coefficients", neuron.fraction, s.fraction),
    )  # fmt: skip
    constants = {name: _grown(x, s.channels) for name, x in constants_of(layer).items()}
    # A larger shift divides by more; a multiplier as many times as large leaves every rounding as it was.
    constants["multiplier"] = constants["multiplier"] << (s.shift - layer.shift)
    constants["threshold"][layer.channels :] = (1 << (s.bits["threshold"] - 1)) - 1
    for name, value in constants.items():
        _require_bits(where + name, value, s.bits[name])
    feedback = None
    if s.recurrent:
        own = np.zeros((0, 0), np.int64) if layer.feedback is None else layer.feedback
        feedback = _grown(own, s.outputs, s.outputs)
    constants = {name: np.repeat(values, s.places) for name, values in constants.items()}
    multiplier, decay = constants.pop("multiplier"), constants.pop("decay", None)
    return IntegerLayer(
        _grown(layer.weight, s.channels, s.fan_in), s.weight_bits, multiplier,
        s.shift, layer.current_format, neuron.with_values(constants), feedback, window=s.window, pools=s.pools,
        synapse=None if synapse is None or decay is None else IntegerSynapse(synapse.number, decay),
        delay=None if layer.delay is None else _grown(layer.delay, s.features),
    )  # fmt: skip


def _readout(s: ReadoutShape, readout: IntegerReadout) -> IntegerReadout:
    where, classes = "readout: ", readout.outputs
    _require_room(
        where, ("classes", classes, s.outputs), ("inputs", readout.features, s.features),
        ("weight bits", readout.weight_bits, s.weight_bits),
    )  # fmt: skip
    _require_pools(where, readout, s)
    multiplier, bias = (_grown(np.broadcast_to(x, classes), s.outputs) for x in (readout.multiplier, readout.bias))
    _require_bits(where + "multiplier", multiplier, s.multiplier_bits)
    _require_bits(where + "bias", bias, s.bias_bits)
    weight = _grown(readout.weight, s.outputs, s.features)
    return IntegerReadout(weight, s.weight_bits, multiplier, bias, pools=s.pools)
