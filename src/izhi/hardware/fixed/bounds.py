"""Bounds that keep the integers of a network within 64 bits, so that every machine computes the same.

The hardware's numbers are as wide as their bounds require, those of numpy and of compiled code have 64 bits. A sum
below 2^62 can be rounded, and then be added to a state and a current, without overflow.
"""

from __future__ import annotations

from izhi.errors import ArtifactError
from izhi.hardware.fixed.arithmetic import FixedPoint
from izhi.hardware.fixed.network import (
    MOST_INPUT,
    MOST_STEPS,
    IntegerLayer,
    IntegerNetwork,
    IntegerProjection,
    IntegerReadout,
    IntegerSynapse,
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
    for number, projection in enumerate(network.projections, start=1):
        where = f"layer {number}" if number <= len(network.layers) else "the readout"
        _check_pools(where, projection, arriving)
        for name, (value, most) in _numbers(projection).items():
            if not 0 <= value <= most:
                raise ArtifactError(f"{where} has {name} {value:,}, expected 0 to {most:,}")
        _check_constants(where, projection)
        if isinstance(projection, IntegerLayer):
            _check_delays(where, projection)
        for name, greatest in _sums(projection, arriving).items():
            if greatest >= MOST_SUM:
                raise ArtifactError(
                    f"{where}: {name} may take {greatest.bit_length() + 1} bits, expected at most"
                    f" {MOST_SUM.bit_length()}; use fewer bits of states, or smaller constants"
                )
        arriving = 1


def _check_pools(where: str, projection: IntegerProjection, arriving: int) -> None:
    """Raise ArtifactError if pools make counts that an input may not have, or windows do not fit one another."""
    windows = [x.window for x in projection.pools]
    behind = [x.inputs for x in windows[1:]] + [projection.weight.shape[1]]
    if projection.window is not None:
        windows, behind[-1] = [*windows, projection.window], projection.window.inputs
    for window in windows:
        if min(window.down, window.across, *window.stride, *window.kernel) < 1:
            raise ArtifactError(f"{where} has a window of no places, expected one that fits {window.inputs:,} features")
    for pool, expected in zip(projection.pools, behind, strict=False):
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


def _numbers(projection: IntegerProjection) -> dict[str, tuple[int, int]]:
    """Numbers of a projection and the most that each may be."""
    numbers = {
        "inputs": (projection.inputs, MOST_NEURONS), "outputs": (projection.outputs, MOST_NEURONS),
        "weight bits": (projection.weight_bits, MOST_WEIGHT_BITS),
    }  # fmt: skip
    formats = dict[str, FixedPoint]()
    if isinstance(projection, IntegerLayer):
        numbers.update(fraction=(projection.neuron.fraction, MOST_FRACTION), shift=(projection.shift, MOST_SHIFT))
        numbers.update({name: (shift, MOST_SHIFT) for name, shift in projection.neuron.shifts().items()})
        formats = {"current": projection.current_format, **projection.neuron.formats}
        if projection.synapse is not None:
            formats["trace"] = projection.synapse.number
    elif isinstance(projection, IntegerReadout) and (own := projection.membrane) is not None:
        numbers.update(fraction=(own.fraction, MOST_FRACTION), shift=(own.shift, MOST_SHIFT))
        formats = {"current": own.current_format, "trace": own.number}
    for name, number in formats.items():
        numbers[f"width of {name}"] = number.width, MOST_BITS
        numbers[f"fraction of {name}"] = number.fraction, MOST_FRACTION
    return numbers


def _check_constants(where: str, projection: IntegerProjection) -> None:
    natural = ("multiplier", *(projection.neuron.natural if isinstance(projection, IntegerLayer) else ()))
    for name, values in projection.constants.items():
        low, high = int(values.min()), int(values.max())
        least = 0 if name in natural else LEAST_CONSTANT
        if name == "decay" and low < 0:
            raise ArtifactError(f"{where} has decay from {_short(low)}, expected 0 or more")
        if low < least or high > MOST_CONSTANT:
            raise ArtifactError(
                f"{where} has {name} from {_short(low)} to {_short(high)}, expected {least:,} to {MOST_CONSTANT:,};"
                " choose fewer bits for states, or smaller weights and coefficients (a lower learning rate)"
            )


def _short(x: int) -> str:
    """All digits of a number that a reader may compare, a few of one that is out of all proportion."""
    return f"{x:,}" if abs(x) < 10**12 else f"{x:.1e}"


def _check_delays(where: str, layer: IntegerLayer) -> None:
    if layer.delay is None:
        return
    sources = layer.window.inputs if layer.window is not None else int(layer.weight.shape[1])
    if layer.delay.shape != (sources,):
        raise ArtifactError(f"{where} has {layer.delay.size:,} delays, expected {sources:,}")
    low, high = int(layer.delay.min()), int(layer.delay.max())
    if low < 0 or high > MOST_DELAY:
        raise ArtifactError(f"{where} has delays from {low:,} to {high:,} steps, expected 0 to {MOST_DELAY:,}")


def _sums(projection: IntegerProjection, arriving: int) -> dict[str, int]:
    """The greatest magnitude of each sum, by its formula."""
    if isinstance(projection, IntegerReadout):
        own = projection.membrane
        total = int(projection.weight.shape[1]) * projection.most(arriving) << (projection.weight_bits - 1)
        bias = max(abs(int(projection.bias.min())), abs(int(projection.bias.max())))
        step = total * int(projection.multiplier.max()) if own is None else -own.current_format.lowest
        leak = {} if own is None else _sums_of_synapse(own, own.fraction)
        return {f"a score of {MOST_STEPS:,} steps": MOST_STEPS * (step + bias), **leak}
    assert isinstance(projection, IntegerLayer)
    sums, synapse = projection.neuron.sums(projection.current_format), projection.synapse
    return sums if synapse is None else {**sums, **_sums_of_synapse(synapse, projection.neuron.fraction)}


def _sums_of_synapse(synapse: IntegerSynapse, fraction: int) -> dict[str, int]:
    product = int(synapse.decay.max()) * -synapse.number.lowest
    # An accumulator is less than 2^31 in magnitude.
    whole = (1 << (31 + synapse.number.fraction)) + (product >> fraction)
    return {"decay·S": product, "A·2^Fs + decay·S/2^F": whole}
