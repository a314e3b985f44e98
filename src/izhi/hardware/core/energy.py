"""Operations of a core for a sample, and an estimate of their energy, which is no measurement.

The energy of an operation is that of an integrated circuit of 45 nm at 0.9 V (M. Horowitz, "Computing's energy problem
(and what we can do about it)", ISSCC 2014, doi 10.1109/ISSCC.2014.6757323): 0.1 pJ for an addition of 32 bits, 3.1 pJ
for a product of 32 · 32 bits, 10 pJ for 64 bits from a memory of 8 kB. Here the energy of an addition or an access is
proportional to its bits, and that of a product to its pairs of bits. An FPGA of the same process takes 14 times as much
dynamic energy for logic alone, and 7.1 times with blocks for memories and multipliers (I. Kuon and J. Rose, "Measuring
the gap between FPGAs and ASICs", IEEE TCAD 26(2), 2007, doi 10.1109/TCAD.2006.884574). Clock, pins and leakage are left
out, and the estimate is right within a factor at best.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from izhi.equation.graph import Symbol, in_order
from izhi.equation.integers import bits_gained
from izhi.hardware.core.shape import CoreShape, LayerShape, step_of
from izhi.hardware.fixed import IntegerNetwork, run
from izhi.hardware.fixed.network import IntegerProjection

#: pJ of a bit that is added, of a pair of bits that are multiplied, and of a bit that is read or written.
ADDITION, PRODUCT, ACCESS = 0.1 / 32, 3.1 / 32**2, 10 / 64
#: pJ of an addition and of a product in float32, of the same source.
FLOAT_ADDITION, FLOAT_PRODUCT = 0.9, 3.7
#: Energy of an FPGA, of that of an integrated circuit: with blocks for memories and products, and of logic alone.
FPGA = (7.1, 14.0)


@dataclass(frozen=True)
class Operations:
    """Operations of one kind of a block for a sample, on average.

    Attributes:
        block: such as "layer 1".
        what: such as "weights added".
        count: their number.
        picojoules: of all of them, in an integrated circuit of 45 nm.
    """

    block: str
    what: str
    count: float
    picojoules: float


def operations(network: IntegerNetwork, shape: CoreShape, spikes: NDArray[np.integer]) -> list[Operations]:
    """Operations of a core for samples of spikes (T, batch, inputs), block by block."""
    steps, batch, _ = spikes.shape
    result, arriving = list[Operations](), spikes
    for number, (layer, s, fired) in enumerate(
        zip(network.layers, shape.layers, run(network, spikes).spikes, strict=True), start=1
    ):
        own = int(fired.sum()) if s.recurrent else 0
        read = _reads(layer, arriving, is_merged=bool(s.delay)) + own
        # A sum is read and written once for two spikes of a cycle.
        added = int(((arriving.sum(2, dtype=np.int64) + 1) // 2).sum()) + own if s.spikes == 2 else read
        counts = _of_layer(s, read * s.groups / batch, added * s.groups / batch, steps * s.outputs)
        result += [Operations(f"layer {number}", what, count, count * each) for what, count, each in counts]
        arriving = fired
    readout, r = network.readout, shape.readout
    if readout is not None and r is not None:
        added_weights = _reads(readout, arriving) * r.outputs / batch
        updates, membrane = r.outputs * (steps if r.is_stepwise else 1), r.membrane
        bits = r.accumulator_bits * r.multiplier_bits
        if membrane is not None:
            bits = membrane.trace.width * (r.multiplier_bits + membrane.decay_bits)
        of_readout = (
            ("weights read", added_weights, r.weight_bits * ACCESS),
            ("weights added", added_weights, r.accumulator_bits * ADDITION),
            ("products", updates, bits * PRODUCT),
        )
        result += [Operations("readout", what, count, count * each) for what, count, each in of_readout]
    return result


def _of_layer(s: LayerShape, words: float, sums: float, updates: int) -> Iterator[tuple[str, float, float]]:
    """Operations on words of weights and of sums and in updates of neurons: what, how often, and pJ of each."""
    added, sum_bits = words * s.lanes, s.accumulator_bits
    yield "weights read", added, s.weight_bits * ACCESS
    if s.most_at_once > 1:
        yield "weights times spikes", added, s.weight_bits * s.most_at_once.bit_length() * PRODUCT
    yield "weights added", added, sum_bits * ADDITION
    if s.sums > 1:  # a single word of sums is in registers
        yield "sums read and written", 2 * sums * s.lanes, sum_bits * ACCESS
    nodes = in_order(step_of(s).values())
    widths = _widths(nodes, s)
    products = [[widths[x] for x in node.args] for node in nodes if node.op == "*"]
    yield "products of neurons", updates * len(products), sum(map(math.prod, products)) / len(products) * PRODUCT
    accesses = 2 * sum(number.width for number in s.kept.values()) + sum(s.constants)
    yield "states and constants of neurons", updates, accesses * ACCESS


def _widths(nodes: list[Symbol], s: LayerShape) -> dict[Symbol, int]:
    """Bits of each signed number of a step, operands first."""
    formats, fractions = s.numbers, s.fractions
    of_variable = {**s.bits, **{name: x.width for name, x in formats.items()}, "sum": s.accumulator_bits}
    widths: dict[Symbol, int] = {}
    for node in nodes:
        args = [widths[x] for x in node.args if x in widths]
        if node.kind == "condition":
            continue
        if node.op == "variable":
            widths[node] = of_variable[str(node.value)]
        elif node.op == "saturated":
            widths[node] = formats[str(node.value)].width
        elif node.op in ("shift", "aligned"):
            widths[node] = args[0] + bits_gained(node, fractions)
        elif node.op in ("+", "-"):
            widths[node] = max(args) + 1
        else:  # a constant is 0
            widths[node] = sum(args) if node.op == "*" else max(args, default=1)
    return widths


def _reads(projection: IntegerProjection, arriving: NDArray[np.integer], *, is_merged: bool = False) -> int:
    """Events behind the pools, each counted at every position whose window covers it.

    An event is the spikes of an input in a step; merged, as delays do, those of a feature behind the pools.
    """
    x = projection.pooled(np.minimum(arriving.reshape(-1, arriving.shape[2]), 1).astype(np.int64))
    if is_merged:
        x = np.minimum(x, 1)
    return int((x if projection.window is None else projection.window.views(x)).sum())
