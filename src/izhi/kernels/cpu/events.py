"""Products of spikes that only visit the spikes: each adds one row of a matrix, and zeros cost nothing.

out[i] = Σ_j bit(i, j)·m[j]. With weights as m that is the current, with gradients of currents as m the
gradient of the weights.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from izhi.kernels.cpu.bits import WORD, lowest_bit, number_of_bits, transposed
from izhi.kernels.cpu.parallel import (
    Kernel,
    array,
    compile_kernel,
    four_numbers,
    launch,
    number,
    share,
    wide_vectors,
)
from izhi.kernels.cpu.scalars import f32, inlined
from izhi.kernels.vocabulary import Value

#: Columns of one piece of work, and bytes of the part of m that should stay in the cache.
_COLUMNS, _CACHE = 512, 1 << 20
#: Rows of the result that are one piece of work.
_ROWS = 64
#: The share of spikes above which a dense product is faster; it lies lower where bfloat16 has units
#: of its own. Below this many columns a dense product is faster always.
_DENSE = {torch.float32: 0.25, torch.bfloat16: 0.03}
_NARROW = 64


@inlined
def _list_bits(words: Value, start: Value, stop: Value, places: Value) -> Value:
    count = 0
    for w in range(start, stop):
        word = words[w]
        while word != 0:
            places[count] = np.int32(32 * w) + np.int32(lowest_bit(word))
            count += 1
            word = np.uint32(word & np.uint32(word - np.uint32(1)))
    return count


@cache
def _gather() -> Kernel:
    @compile_kernel
    def gather(data):  # type: ignore[no-untyped-def]
        rows, words_per_row, depth, width = four_numbers(data)
        columns, at_once = number(data, 4), number(data, 5)
        words = array(data, 6, (rows, words_per_row), np.uint32)
        m = array(data, 7, (depth, width), f32)
        out = array(data, 8, (rows, width), f32)
        wide_vectors()
        worker, workers = share(data)
        places = np.zeros(32 * at_once, np.int32)
        groups = (rows + _ROWS - 1) // _ROWS
        pieces = groups * ((width + columns - 1) // columns)
        for piece in range(worker * pieces // workers, (worker + 1) * pieces // workers):
            left = piece // groups * columns
            right, top = min(width, left + columns), piece % groups * _ROWS
            size = right - left
            for start in range(0, words_per_row, at_once):
                stop = min(words_per_row, start + at_once)
                for row in range(top, min(rows, top + _ROWS)):
                    count = _list_bits(words[row], start, stop, places)
                    total = out[row, left:right]
                    if start == 0:
                        for n in range(size):
                            total[n] = f32(0)
                    # Four at once, since reading and writing the total would cost as much as adding.
                    fours = count // 4 * 4
                    for k in range(0, fours, 4):
                        a, b = m[places[k], left:right], m[places[k + 1], left:right]
                        c, d = m[places[k + 2], left:right], m[places[k + 3], left:right]
                        for n in range(size):
                            total[n] += (a[n] + b[n]) + (c[n] + d[n])
                    for k in range(fours, count):
                        a = m[places[k], left:right]
                        for n in range(size):
                            total[n] += a[n]

    return gather


def _sums(words: Tensor, m: Tensor) -> Tensor:
    """Σ_j bit(i, j)·m[j] for words (R, W) and m (J, N) float32: (R, N)."""
    (rows, per_row), (depth, width) = words.shape, m.shape
    # Whole vectors, also where there are few columns.
    if width % 16:
        m = nn.functional.pad(m, (0, -width % 16))
    m = m.contiguous()
    columns = min(m.shape[1], _COLUMNS)
    at_once = max(1, min(per_row, _CACHE // (4 * columns * WORD)))
    out = torch.empty(rows, m.shape[1])
    groups = -(-rows // _ROWS) * -(-m.shape[1] // columns)
    launch(_gather(), rows, per_row, depth, m.shape[1], columns, at_once, words, m, out, pieces=groups)
    return out[:, :width].contiguous()


@cache
def _count() -> Kernel:
    @compile_kernel
    def count(data):  # type: ignore[no-untyped-def]
        size = number(data, 0)
        words = array(data, 1, size, np.uint32)
        total = array(data, 2, 1, np.int64)
        for i in range(size):
            total[0] += number_of_bits(words[i])

    return count


def density(words: Tensor, features: int) -> float:
    """The share of 1 among the spikes (R, features) of words (R, W)."""
    total = torch.zeros(1, dtype=torch.int64)
    launch(_count(), words.numel(), words, total, pieces=1)
    return int(total) / max(1, features * (words.numel() // words.shape[-1]))


def pays(words: Tensor, outputs: int, inputs: int, dtype: torch.dtype) -> bool:
    """Whether these products are faster than dense ones with a weight (outputs, inputs)."""
    if outputs < _NARROW or dtype not in _DENSE:
        return False
    return density(words, inputs) < _DENSE[dtype]


def product(words: Tensor, weight: Tensor) -> Tensor:
    """Spikes·weightᵀ in float32: words (R, W) of spikes (R, I), weight (O, I) → (R, O)."""
    return _sums(words, weight.float().t())


def weight_gradient(words: Tensor, inputs: int, g: Tensor) -> Tensor:
    """gᵀ·spikes in float32: words (R, W) of spikes (R, I), g (R, O) float32 → (O, I)."""
    columns = transposed(words)
    width, blocks, _ = columns.shape
    of_inputs = columns.transpose(1, 2).reshape(width * WORD, blocks)[:inputs]
    return _sums(of_inputs.contiguous(), g).t().contiguous()


__all__ = ["density", "pays", "product", "weight_gradient"]
