"""What a core computes for a sample, and an estimate of the energy: no measurement, and right within a factor at best.

The energy of an operation is that of an integrated circuit of 45 nm at 0.9 V (M. Horowitz, "Computing's energy problem
(and what we can do about it)", ISSCC 2014, doi 10.1109/ISSCC.2014.6757323): 0.1 pJ for an addition of 32 bits, 3.1 pJ
for a product of 32 · 32 bits, 10 pJ for 64 bits from a memory of 8 kB. Here an addition and an access take as much for
each bit, and a product for each pair of bits. An FPGA of the same process takes 14 times as much dynamic energy for
logic alone, and 7.1 times where memories and multipliers are blocks of their own (I. Kuon and J. Rose, "Measuring the
gap between FPGAs and ASICs", IEEE TCAD 26(2), 2007, doi 10.1109/TCAD.2006.884574). Clock, pins and leakage are left
out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from izhi.hardware.core.shape import CoreShape, LayerShape
from izhi.hardware.fixed import Network, run
from izhi.hardware.fixed.network import Part

#: pJ of a bit that is added, of a pair of bits that are multiplied, and of a bit that is read or written.
ADDITION, PRODUCT, ACCESS = 0.1 / 32, 3.1 / 32**2, 10 / 64
#: pJ of an addition and of a product in float32, of the same source.
FLOAT_ADDITION, FLOAT_PRODUCT = 0.9, 3.7
#: Energy of an FPGA, of that of an integrated circuit: with blocks for memories and products, and of logic alone.
FPGA = (7.1, 14.0)


@dataclass(frozen=True)
class Operations:
    """What a block does for a sample, on average.

    Attributes:
        block: such as "layer 1".
        what: such as "weights added".
        count: how often.
        picojoules: of all of them, in an integrated circuit of 45 nm.
    """

    block: str
    what: str
    count: float
    picojoules: float


def operations(network: Network, shape: CoreShape, spikes: NDArray[np.integer]) -> list[Operations]:
    """What a core does for samples of spikes (T, batch, inputs), block by block."""
    steps, batch, _ = spikes.shape
    found, arriving = [], spikes
    for number, (layer, s, fired) in enumerate(
        zip(network.layers, shape.layers, run(network, spikes).spikes, strict=True), start=1
    ):
        own = int(fired.sum()) if s.recurrent else 0
        seen = _seen(layer, arriving) + own
        # Two spikes at once are added up before they go to a sum.
        sent = int((-(-arriving.sum(2) // 2)).sum()) + own if s.spikes == 2 else seen
        words, sums = seen * s.groups / batch, sent * s.groups / batch
        for what, count, each in _of_layer(s, words, sums, steps * s.outputs):
            found.append(Operations(f"layer {number}", what, count, count * each))
        arriving = fired
    readout, r = network.readout, shape.readout
    if readout is not None and r is not None:
        added = _seen(readout, arriving) * r.outputs / batch
        of_readout = (
            ("weights read", added, r.weight_bits * ACCESS),
            ("weights added", added, r.accumulator_bits * ADDITION),
            ("products", r.outputs, r.accumulator_bits * r.multiplier_bits * PRODUCT),
        )
        found += [Operations("readout", what, count, count * each) for what, count, each in of_readout]
    return found


def _of_layer(s: LayerShape, words: float, sums: float, updates: int) -> Iterator[tuple[str, float, float]]:
    """What it does with words of weights, and of sums, how often, and pJ of each time."""
    added, sum_bits = words * s.lanes, s.accumulator_bits
    yield "weights read", added, s.weight_bits * ACCESS
    yield "weights added", added, sum_bits * ADDITION
    if s.sums > 1:  # the others are registers
        yield "sums read and written", 2 * sums * s.lanes, sum_bits * ACCESS
    products = list(_products(s))
    yield "products of neurons", updates * len(products), sum(a * b for a, b in products) / len(products) * PRODUCT
    trace = 0 if s.trace is None else s.trace.width
    state = s.v.width + (s.u.width if s.kind == "izhikevich" else 0) + trace
    yield "states and constants of neurons", updates, (2 * state + sum(s.constants)) * ACCESS


def _products(s: LayerShape) -> Iterator[tuple[int, int]]:
    """Bits of the factors of each product of a neuron's update, see datapaths."""
    bits = dict(zip(s.names, s.constants, strict=True))
    total, v, u = s.accumulator_bits, s.v.width, s.u.width
    if s.trace is not None:
        total = s.trace.width
        yield bits["decay"], total
    yield total, bits["multiplier"]
    if s.kind == "izhikevich":
        square = 2 * v - s.v.fraction
        yield from ((v, v), (bits["a1"], square), (bits["a2"], v), (bits["a3"], u), (bits["b2"], u), (bits["b1"], v))
    else:
        yield bits["beta"], v


def _seen(part: Part, arriving: NDArray[np.integer]) -> int:
    """Spikes that come in behind the pools, each as often as a place sees it."""
    x = part.pooled(arriving.reshape(-1, arriving.shape[2]).astype(np.int64))
    return int((x if part.window is None else part.window.seen(x)).sum())


__all__ = ["ACCESS", "ADDITION", "FLOAT_ADDITION", "FLOAT_PRODUCT", "FPGA", "PRODUCT", "Operations", "operations"]
