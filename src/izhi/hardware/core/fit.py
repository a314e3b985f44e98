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
    require_matrices,
)
from izhi.hardware.fixed import Layer, Network, Readout
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
        SettingError: if there are more or fewer of them, or one is less than the network's.
    """
    own = [s.inputs for s in shape.layers] + [shape.layers[-1].outputs]
    if shape.readout is not None:
        own.append(shape.readout.outputs)
    if len(sizes) != len(own) or any(a < b for a, b in zip(sizes, own, strict=True)):
        raise SettingError(
            f"sizes is {', '.join(map(str, sizes))}, expected at least the network's own: {', '.join(map(str, own))}"
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
        SettingError: naming what the core has no room for, and for convolutions and pools.
    """
    require_matrices(network)
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
    for what, needed, has in (
        ("inputs", layer.weight.shape[1], s.inputs),
        ("neurons", layer.outputs, s.outputs),
        ("weight bits", layer.weight_bits, s.weight_bits),
        ("shift", layer.shift, s.shift),
    ):
        _demand(needed <= has, where + what, needed, f"at most {has}")
    _demand(layer.feedback is None or s.recurrent, where + "recurrence", "wanted", "none")
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

    constants: dict[str, Any] = {name: _grown(x, s.outputs) for name, x in constants_of(layer).items()}
    # A larger shift divides by more; a multiplier as many times as large leaves every rounding as it was.
    constants["multiplier"] = constants["multiplier"] << (s.shift - layer.shift)
    bits = dict(zip(s.names, s.constants, strict=True))
    constants["threshold"][layer.outputs :] = (1 << (bits["threshold"] - 1)) - 1
    for name, value in constants.items():
        _demand_room(value, bits[name], where + name)
    feedback = None
    if s.recurrent:
        own = np.zeros((0, 0), np.int64) if layer.feedback is None else layer.feedback
        feedback = _grown(own, s.outputs, s.outputs)
    multiplier = constants.pop("multiplier")
    return Layer(
        _grown(layer.weight, s.outputs, s.inputs), s.weight_bits, multiplier, s.shift,
        layer.current_format, neuron.with_values(constants), feedback,
    )  # fmt: skip


def _readout(s: ReadoutShape, readout: Readout) -> Readout:
    where = "readout: "
    for what, needed, has in (
        ("classes", readout.weight.shape[0], s.outputs),
        ("inputs", readout.weight.shape[1], s.inputs),
        ("weight bits", readout.weight_bits, s.weight_bits),
    ):
        _demand(needed <= has, where + what, needed, f"at most {has}")
    classes = readout.weight.shape[0]
    multiplier, bias = (_grown(np.broadcast_to(x, classes), s.outputs) for x in (readout.multiplier, readout.bias))
    for value, bits, what in (
        (multiplier, s.multiplier_bits, "multiplier"),
        (bias, s.bias_bits, "bias"),
    ):
        _demand_room(value, bits, where + what)
    return Readout(_grown(readout.weight, s.outputs, s.inputs), s.weight_bits, multiplier, bias)


__all__ = ["SPARE_BITS", "fitted", "larger"]
