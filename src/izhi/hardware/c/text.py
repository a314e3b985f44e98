"""Arrays of C as text, and weights packed at their bits."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from izhi.hardware.fixed.arithmetic import Integers


def packed(weight: Integers, bits: int) -> NDArray[np.uint8]:
    """Rows of weights, each of which begins with a byte, the first weight lowest; a byte more at the end.

    Args:
        weight: (rows, weights), of ``bits`` bits.
        bits: 2 to 8.
    """
    rows, count = weight.shape
    places = (weight[:, :, None] >> np.arange(bits)) & 1
    flat = places.reshape(rows, count * bits).astype(np.uint8)
    return np.append(np.packbits(flat, axis=1, bitorder="little").reshape(-1), np.uint8(0))


def array(kind: str, name: str, values: Iterable[int]) -> str:
    """A constant array."""
    words = [str(int(x)) for x in values]
    lines = [", ".join(words[k : k + 24]) for k in range(0, len(words), 24)]
    return f"static const {kind} {name}[{len(words)}] = {{\n    " + ",\n    ".join(lines) + ",\n};\n"


def bytes_of(kind: str) -> int:
    """The size of a number of a type such as int16_t."""
    return np.dtype(kind.removesuffix("_t")).itemsize


def narrowest(values: NDArray[np.integer]) -> str:
    """The narrowest signed type that holds all of some numbers."""
    most = max(abs(int(values.min()) + (1 if values.min() < 0 else 0)), abs(int(values.max())), 1)
    return f"int{next((bits for bits in (8, 16, 32) if most < 1 << (bits - 1)), 64)}_t"


__all__ = ["array", "bytes_of", "narrowest", "packed"]
