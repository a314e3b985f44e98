"""Bounds that keep the integers of a network within 64 bits, so that every machine computes the same.

The hardware's numbers are as wide as their bounds require, those of numpy and of compiled code have 64 bits. A sum
below 2^62 can be rounded, and then be added to a state and a current, without overflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from izhi.errors import ArtifactError
from izhi.hardware.fixed.arithmetic import Integers
from izhi.hardware.fixed.network import (
    MOST_INPUT,
    MOST_STEPS,
    IntegerLayer,
    IntegerNetwork,
    IntegerProjection,
    IntegerReadout,
)

#: The magnitude of every sum is below this.
MOST_SUM = 1 << 62
#: Bits of a number and of a constant, bits behind the point, and places that a product is shifted by, at most.
MOST_BITS, MOST_FRACTION, MOST_SHIFT = 32, 30, 40
#: Steps of a delay, at most.
MOST_DELAY = 1023
#: Inputs or neurons of a layer, and bits of a weight, at most: accumulators then fit 32 bits,
#: and their products with multipliers 63.
MOST_NEURONS, MOST_WEIGHT_BITS = 1 << 16, 8
#: The least and the greatest constant.
LEAST_CONSTANT, MOST_CONSTANT = -(1 << (MOST_BITS - 1)), (1 << (MOST_BITS - 1)) - 1


def check_bounds(network: IntegerNetwork) -> None:
    """Raise ArtifactError unless every number of a network stays within 64 bits, whatever its inputs are."""
    arriving = MOST_INPUT
    for number, layer in enumerate(network.layers, start=1):
        where = f"layer {number}"
        _check_pools(where, layer, arriving)
        arriving = 1
        _check_numbers(where, {**_sizes(layer), **_formats(layer)})
        _check_constants(where, {"multiplier": layer.multiplier, **layer.neuron.values}, layer.neuron.natural)
        _check_sums(where, layer.neuron.sums)
        _check_delays(where, layer)
        _check_synapse(where, layer)
    readout = network.readout
    if readout is not None:
        _check_numbers("the readout", _sizes(readout))
        _check_constants("the readout", {"multiplier": readout.multiplier, "bias": readout.bias})
        _check_pools("the readout", readout, arriving)
        greatest = _score(readout, readout.most(arriving))
        _check_sums("the readout", {f"a score of {MOST_STEPS:,} steps": greatest})


def _check_pools(where: str, projection: IntegerProjection, arriving: int) -> None:
    """Raise ArtifactError if pools make counts that an input may not have, or windows do not fit one another."""
    widths = [x.window for x in projection.pools] + ([projection.window] if projection.window is not None else [])
    for window in widths:
        if min(window.down, window.across, *window.stride, *window.kernel) < 1:
            raise ArtifactError(f"{where} has a window of no places, expected one that fits {window.inputs:,} features")
    inputs = int(projection.weight.shape[1]) if projection.window is None else projection.window.inputs
    for pool, expected in zip(
        projection.pools, [x.window.inputs for x in projection.pools[1:]] + [inputs], strict=False
    ):
        if pool.outputs != expected:
            raise ArtifactError(f"{where} has a pool of {pool.outputs:,} features before one of {expected:,}")
    if projection.window is not None and projection.window.sources != projection.weight.shape[1]:
        raise ArtifactError(
            f"{where} has {projection.weight.shape[1]:,} weights of a channel, expected {projection.window.sources:,},"
            " its window's"
        )
    if projection.pools and projection.most(arriving) > MOST_INPUT:
        raise ArtifactError(
            f"{where} may count {projection.most(arriving):,} spikes of an input, expected at most {MOST_INPUT}"
        )


def _check_delays(where: str, layer: IntegerLayer) -> None:
    if layer.delay is None:
        return
    sources = layer.window.inputs if layer.window is not None else int(layer.weight.shape[1])
    if layer.delay.shape != (sources,):
        raise ArtifactError(f"{where} has {layer.delay.size:,} delays, expected {sources:,}")
    low, high = int(layer.delay.min()), int(layer.delay.max())
    if low < 0 or high > MOST_DELAY:
        raise ArtifactError(f"{where} has delays from {low:,} to {high:,} steps, expected 0 to {MOST_DELAY:,}")


def _check_synapse(where: str, layer: IntegerLayer) -> None:
    if layer.synapse is None:
        return
    number, decay = layer.synapse.number, layer.synapse.decay
    _check_numbers(
        where, {"width of trace": (number.width, MOST_BITS), "fraction of trace": (number.fraction, MOST_FRACTION)}
    )
    if int(decay.min()) < 0:
        raise ArtifactError(f"{where} has decay from {int(decay.min()):,}, expected 0 or more")
    _check_constants(where, {"decay": decay})
    # An accumulator is less than 2^31 in magnitude.
    most = (1 << (31 + number.fraction)) + (int(decay.max()) * -number.lowest >> layer.neuron.fraction)
    _check_sums(where, {"decay·S": int(decay.max()) * -number.lowest, "A·2^Fs + decay·S/2^F": most})


def _score(readout: IntegerReadout, most: int) -> int:
    total = int(readout.weight.shape[1]) * most << (readout.weight_bits - 1)
    bias = max(abs(int(readout.bias.min())), abs(int(readout.bias.max())))
    return MOST_STEPS * (total * int(readout.multiplier.max()) + bias)


def _sizes(projection: IntegerProjection) -> dict[str, tuple[int, int]]:
    """Numbers of a projection and the most that each may be."""
    return {
        "inputs": (projection.inputs, MOST_NEURONS),
        "outputs": (projection.outputs, MOST_NEURONS),
        "weight bits": (projection.weight_bits, MOST_WEIGHT_BITS),
    }


def _formats(layer: IntegerLayer) -> dict[str, tuple[int, int]]:
    v, u, fraction = layer.neuron.formats
    numbers = {"fraction": (fraction, MOST_FRACTION), "shift": (layer.shift, MOST_SHIFT)}
    for name, number in (("current", layer.current_format), ("v", v), ("u", u)):
        numbers[f"width of {name}"] = number.width, MOST_BITS
        numbers[f"fraction of {name}"] = number.fraction, MOST_FRACTION
    return numbers


def _check_numbers(where: str, numbers: Mapping[str, tuple[int, int]]) -> None:
    for name, (value, most) in numbers.items():
        if not 0 <= value <= most:
            raise ArtifactError(f"{where} has {name} {value:,}, expected 0 to {most:,}")


def _check_constants(where: str, constants: Mapping[str, Integers], natural: Sequence[str] = ()) -> None:
    for name, values in constants.items():
        low, high = int(values.min()), int(values.max())
        least = 0 if name == "multiplier" or name in natural else LEAST_CONSTANT
        if low < least or high > MOST_CONSTANT:
            raise ArtifactError(f"{where} has {name} from {low:,} to {high:,}, expected {least:,} to {MOST_CONSTANT:,}")


def _check_sums(where: str, sums: Mapping[str, int]) -> None:
    for name, greatest in sums.items():
        if greatest >= MOST_SUM:
            raise ArtifactError(
                f"{where}: {name} may take {greatest.bit_length() + 1} bits, expected at most"
                f" {MOST_SUM.bit_length()}; use fewer bits of states, or smaller constants"
            )
