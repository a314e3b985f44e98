"""Networks in cores that were built larger: what is too small is filled up, and never fires."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from izhi.errors import SettingError
from izhi.hardware.core.shape import (
    CoreShape,
    LayerShape,
    ReadoutShape,
    bits_of,
    constants_of,
    require_core,
)
from izhi.hardware.fixed import Layer, Network, Readout, Synapse
from izhi.hardware.networks import Array

#: Bits that constants of a larger core have more than those of the network it was made for, and by how much
#: more their products are shifted: scales of weights may be four times as large or as small.
SPARE_BITS = 2


def larger(shape: CoreShape, sizes: Sequence[int]) -> CoreShape:
    """A core for networks of up to these sizes, with some room for larger constants as well.

    Args:
        shape: of a core for one network.
        sizes: inputs, neurons of each layer, and with a readout its classes.

    Raises:
        SettingError: if there are more or fewer of them, one is less than the network's, or it is another one though
            there are convolutions or pools.
    """
    own = [s.inputs for s in shape.layers] + [shape.layers[-1].outputs]
    if shape.readout is not None:
        own.append(shape.readout.outputs)
    if len(sizes) != len(own) or any(a < b for a, b in zip(sizes, own, strict=True)):
        raise SettingError(
            f"sizes is {', '.join(map(str, sizes))}, expected at least the network's own: {', '.join(map(str, own))}"
        )
    has_windows = any(layer.pools or layer.window for layer in shape.layers)
    if list(sizes) != own and (has_windows or (shape.readout is not None and shape.readout.pools)):
        raise SettingError(
            f"sizes is {', '.join(map(str, sizes))}, but a network with convolutions or pools has a core of its own"
            f" sizes: {', '.join(map(str, own))}"
        )
    layers = tuple(
        replace(
            s, inputs=sizes[k], outputs=sizes[k + 1], shift=s.shift + SPARE_BITS,
            constants=tuple(
                bits + SPARE_BITS * (2 if name == "multiplier" else 1)
                for name, bits in zip(s.names, s.constants, strict=True)
            ),
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


def fitted(shape: CoreShape, network: Network, steps: int) -> Network:
    """A network of exactly a core's sizes that gives the scores of ``network``, and 0 for further classes.

    Inputs and neurons that the network lacks have weights of 0; such neurons never fire.

    Raises:
        SettingError: naming what the core has no room for.
    """
    require_core(network, largest_input=shape.layers[0].largest_input)
    _demand(len(network.layers) == len(shape.layers), "layers", len(network.layers), len(shape.layers))
    _demand(steps <= shape.steps, "steps", steps, f"at most {shape.steps}")
    layers = tuple(
        _layer(s, layer, f"layer {number}: ")
        for number, (s, layer) in enumerate(zip(shape.layers, network.layers, strict=True), start=1)
    )
    has, needs = (("a" if x is not None else "no") for x in (shape.readout, network.readout))
    _demand(has == needs, "readout", needs, has)
    r = network.readout
    return Network(layers, None if shape.readout is None or r is None else _readout(shape.readout, r))


def _demand(holds: bool, what: str, found: object, has: object) -> None:
    if not holds:
        raise SettingError(
            f"the network does not fit the core: {what} {found}, the core has {has}; build one for it by izhi rtl"
        )


def _demand_room(value: Array, bits: int, what: str) -> None:
    needed = bits_of(int(value.min()), int(value.max()))
    _demand(needed <= bits, f"{what} of", f"{needed} bits", bits)


def _grown(values: Array, *sizes: int) -> Array:
    return np.pad(values, [(0, size - n) for size, n in zip(sizes, values.shape, strict=True)])


def _layer(s: LayerShape, layer: Layer, where: str) -> Layer:
    neuron = layer.neuron
    _demand(neuron.kind == s.kind, f"{where}neurons", neuron.kind, s.kind)
    _demand(layer.window == s.window, where + "window", layer.window, s.window)
    _demand(layer.pools == s.pools, where + "pools", len(layer.pools), f"{len(s.pools)}, or others")
    _demand(not s.pools or layer.inputs == s.inputs, where + "inputs", layer.inputs, s.inputs)
    for what, needed, has in (
        ("inputs", layer.inputs, s.inputs),
        ("delay", 0 if layer.delay is None else int(layer.delay.max()), s.delay),
        ("neurons", layer.outputs, s.outputs),
        ("weight bits", layer.weight_bits, s.weight_bits),
        ("shift", layer.shift, s.shift),
    ):
        _demand(needed <= has, where + what, needed, f"at most {has}")
    _demand(layer.feedback is None or s.recurrent, where + "recurrence", "wanted", "none")
    trace = None if layer.synapse is None else layer.synapse.number
    _demand(trace == s.trace, where + "sums of a synapse of", trace, s.trace)
    for what, wanted, format in (
        ("currents", layer.current_format, s.current),
        ("v", neuron.formats.v, s.v),
        ("u", neuron.formats.u, s.u),
    ):
        _demand(wanted == format, f"{where}{what} of", wanted, format)
    _demand(
        neuron.fraction == s.fraction,
        where + "fraction of coefficients",
        neuron.fraction,
        s.fraction,
    )

    constants: dict[str, Any] = {name: _grown(x, s.channels) for name, x in constants_of(layer).items()}
    # A larger shift divides by more; a multiplier as many times as large leaves every rounding as it was.
    constants["multiplier"] = constants["multiplier"] << (s.shift - layer.shift)
    bits = dict(zip(s.names, s.constants, strict=True))
    constants["threshold"][len(layer.weight) :] = (1 << (bits["threshold"] - 1)) - 1
    for name, value in constants.items():
        _demand_room(value, bits[name], where + name)
    feedback = None
    if s.recurrent:
        own = np.zeros((0, 0), np.int64) if layer.feedback is None else layer.feedback
        feedback = _grown(own, s.outputs, s.outputs)
    constants = {name: np.repeat(values, s.places) for name, values in constants.items()}
    multiplier, decay = constants.pop("multiplier"), constants.pop("decay", None)
    return Layer(
        _grown(layer.weight, s.channels, s.sources - (s.outputs if s.recurrent else 0)), s.weight_bits, multiplier,
        s.shift, layer.current_format, neuron.with_values(constants), feedback, window=s.window, pools=s.pools,
        synapse=None if layer.synapse is None else Synapse(layer.synapse.number, decay),
        delay=None if layer.delay is None else _grown(layer.delay, s.features),
    )  # fmt: skip


def _readout(s: ReadoutShape, readout: Readout) -> Readout:
    where = "readout: "
    for what, needed, has in (
        ("classes", readout.weight.shape[0], s.outputs),
        ("inputs", readout.weight.shape[1], s.features),
        ("weight bits", readout.weight_bits, s.weight_bits),
    ):
        _demand(needed <= has, where + what, needed, f"at most {has}")
    _demand(readout.pools == s.pools, where + "pools", len(readout.pools), f"{len(s.pools)}, or others")
    classes = readout.weight.shape[0]
    multiplier, bias = (_grown(np.broadcast_to(x, classes), s.outputs) for x in (readout.multiplier, readout.bias))
    for value, bits, what in (
        (multiplier, s.multiplier_bits, "multiplier"),
        (bias, s.bias_bits, "bias"),
    ):
        _demand_room(value, bits, where + what)
    weight = _grown(readout.weight, s.outputs, s.features)
    return Readout(weight, s.weight_bits, multiplier, bias, pools=s.pools)


__all__ = ["SPARE_BITS", "fitted", "larger"]
