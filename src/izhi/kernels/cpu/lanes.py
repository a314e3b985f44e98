"""What the loops over time do with the lanes of a block, within a kernel."""

from __future__ import annotations

import numpy as np

from izhi.compiled import inlined
from izhi.kernels.cpu.bits import words_of_floats
from izhi.kernels.cpu.matrix_unit import multiply_samples
from izhi.kernels.cpu.parallel import copy
from izhi.kernels.cpu.rows import OUTPUT_BLOCK, add_rows, list_bits, weigh_rows
from izhi.kernels.cpu.scalars import f32, load_bf16, store_bf16
from izhi.kernels.events import WORD
from izhi.kernels.ops import Value


@inlined
def spread(of_neuron: Value, start: Value, size: Value, of_lane: Value) -> None:
    """Values of neurons to the lanes of a block, a sample at a time."""
    n, i = start % len(of_neuron), 0
    while i < size:
        length = min(size - i, len(of_neuron) - n)
        copy(of_neuron[n:], of_lane[i:], length)
        n, i = 0, i + length


@inlined
def multiply_factors(g: Value, weight: Value, neurons: Value, start: Value, size: Value, out: Value) -> None:
    """g·W to the lanes of a block.

    Args:
        g: (B, O), O even.
        weight: W, (O, N + 64).
        neurons: N.
        start, size: of the block.
        out: the lanes, and room for fewer than 64 behind them.
    """
    outputs, width = weight.shape
    b, n, i = start // neurons, start % neurons, 0
    while i < size:
        length = min(size - i, neurons - n)
        for k in range(0, length, OUTPUT_BLOCK):  # what is beyond a sample is written again by the next one
            source, target = weight[0, n + k :].ctypes.data, out[i + k :].ctypes.data
            weigh_rows(g[b].ctypes.data, source, 4 * width, outputs, target)
        b, n, i = b + 1, 0, i + length


@inlined
def _list_spikes(spikes: Value, places: Value) -> Value:
    """Put where spikes (N,) in float32 are 1 into places; how many there are."""
    count, whole = 0, len(spikes) // WORD * WORD
    for first in range(0, whole, WORD):
        word = np.uint32(words_of_floats(spikes.ctypes.data + 4 * first) & np.uint64(0xFFFFFFFF))
        count = list_bits(word, first, places, count)
    for i in range(whole, len(spikes)):
        if spikes[i] != 0:
            places[count] = i
            count += 1
    return count


@inlined
def feed_back(x: Value, fired: Value, rows: Value, sums: Value, places: Value, counts: Value, out: Value) -> None:
    """Currents and spikes of whole samples (lanes,) → currents with R·spikes in out; R by the address of its rows.

    Args:
        x: currents.
        fired: spikes of the step before.
        rows: address of ``events.rows_of(R)``.
        sums: room for the sums of a sample in a block of R, as many as it has columns.
        places, counts: room for the places of each sample's spikes, (samples, N), and for how many those are.
        out: currents.
    """
    neurons, size = places.shape[1], len(sums)
    samples = len(x) // neurons
    for b in range(samples):
        counts[b] = _list_spikes(fired[b * neurons : (b + 1) * neurons], places[b])
    # All samples go through a block of R while it is in the cache.
    for low in range(0, neurons, size):
        length = min(size, neurons - low)
        for b in range(samples):
            for i in range(size):
                sums[i] = f32(0)
            add_rows(size, rows + 4 * neurons * low, places[b].ctypes.data, counts[b], sums.ctypes.data)
            start = b * neurons + low
            source, target = x[start : start + length], out[start : start + length]
            for i in range(length):
                target[i] = source[i] + sums[i]


@inlined
def feed_back_by_unit(
    tiles: Value, x: Value, fired: Value, right: Value, sums: Value, neurons: Value, out: Value
) -> None:
    """The same in bfloat16 by the matrix unit, for up to 32 samples.

    Args:
        tiles: from ``tile_memory``.
        x, fired, out: as those of ``feed_back``.
        right: address of ``matrix_tiles(Rᵀ)``.
        sums: room for 32 × 32 of them.
        neurons: a multiple of 32.
    """
    samples = len(x) // neurons
    for column in range(0, neurons, 32):
        multiply_samples(tiles, fired.ctypes.data, samples, neurons, right, column, sums.ctypes.data, 128)
        for b in range(samples):
            start = b * neurons + column
            source, target, total = x[start : start + 32], out[start : start + 32], sums[32 * b : 32 * b + 32]
            for i in range(32):
                target[i] = store_bf16(load_bf16(source[i]) + total[i])
