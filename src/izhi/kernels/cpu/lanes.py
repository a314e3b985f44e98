"""What the loops over time do with the lanes of a block, within a kernel."""

from __future__ import annotations

import numpy as np

from izhi.compiled import inlined
from izhi.kernels.cpu.bits import words_of_floats
from izhi.kernels.cpu.parallel import copy
from izhi.kernels.cpu.rows import OUTPUT_BLOCK, add_rows, list_bits, weigh_rows
from izhi.kernels.cpu.scalars import f32
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
def add_outer(x: Value, g: Value, neurons: Value, start: Value, size: Value, into: Value) -> None:
    """Add x[b, k]·g to into[k] for the lanes of a block.

    Args:
        x: (B, I), of all samples.
        g: the lanes.
        neurons: N.
        start, size: of the block.
        into: (I, lanes).
    """
    b, n, i = start // neurons, start % neurons, 0
    while i < size:
        length = min(size - i, neurons - n)
        for k in range(x.shape[1]):
            factor, source, target = x[b, k], g[i : i + length], into[k, i : i + length]
            for j in range(length):
                target[j] += factor * source[j]
        b, n, i = b + 1, 0, i + length


@inlined
def of_step(words: Value, t: Value, spikes: Value) -> None:
    """The spikes of a step, 0 and 1 in float32, from a sample's words (⌈T/32⌉, N)."""
    source, place = words[t // WORD], np.uint32(t % WORD)
    for i in range(len(source)):
        spikes[i] = f32(np.uint32(source[i] >> place) & np.uint32(1))


@inlined
def _list_places(spikes: Value, places: Value) -> Value:
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
def list_spikes(spikes: Value, size: Value, places: Value, counts: Value) -> None:
    """The places of each sample's spikes, (samples, N), and how many those are, of spikes (lanes,) in float32."""
    neurons = places.shape[1]
    for b in range(size // neurons):
        counts[b] = _list_places(spikes[b * neurons : (b + 1) * neurons], places[b])


@inlined
def feed_back(current: Value, places: Value, counts: Value, rows: Value, sums: Value) -> None:
    """Add R·spikes to the currents of whole samples (lanes,).

    Args:
        current: of the samples.
        places, counts: of their spikes, from ``list_spikes``.
        rows: address of ``events.rows_of(R)``.
        sums: room for the sums of a sample in a block of R, as many as it has columns.
    """
    neurons, size = places.shape[1], len(sums)
    # All samples go through a block of R while it is in the cache.
    for low in range(0, neurons, size):
        length = min(size, neurons - low)
        for b in range(len(current) // neurons):
            for i in range(size):
                sums[i] = f32(0)
            add_rows(size, rows + 4 * neurons * low, places[b].ctypes.data, counts[b], sums.ctypes.data)
            target = current[b * neurons + low : b * neurons + low + length]
            for i in range(length):
                target[i] += sums[i]
