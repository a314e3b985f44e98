"""Memory for the large tensors of CPU kernels: taken from the system once, and used again once nothing refers to it.

A training step needs the same large tensors in every iteration. The C library gives such memory back to the system each
time it is freed, which then clears every page anew; that can take longer than the neurons. Tensors made here keep their
memory in a list. When no tensor, view or array refers to a piece of it any more, the next tensor of that size gets it.

The list holds at most twice what was in use at one time: what a step needs one after the other must fit beside what it
needs at once. GPUs need none of this: torch keeps their memory itself.
"""

from __future__ import annotations

import threading
from math import prod

import torch
from torch import Tensor, UntypedStorage

#: Bytes from which memory is kept; the C library itself keeps smaller pieces.
_LARGE = 1 << 18
#: Sizes are multiples of it, the pages of a system.
_PAGE = 1 << 12
#: What is held at most, as a multiple of what was in use at one time; and a piece, of the size that is wanted.
_AT_MOST, _WIDE = 2, 2

_references = getattr(torch._C, "_storage_Use_Count", None)


class Arena:
    """Pieces of memory, the one that was taken last at the end."""

    def __init__(self) -> None:
        self._lock, self._pieces = threading.Lock(), list[UntypedStorage]()
        self._most_in_use = 0

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor with any contents, in memory that nothing else refers to."""
        size = prod(shape) * dtype.itemsize
        with self._lock, torch.no_grad():  # a piece is free until the tensor refers to it
            fits = [x for x in self._pieces if size <= x.nbytes() <= _WIDE * size and _is_free(x)]
            piece = min(fits, key=UntypedStorage.nbytes, default=None) or self._new(-(-size // _PAGE) * _PAGE)
            self._pieces = [*(x for x in self._pieces if x is not piece), piece]
            return torch.empty(0, dtype=dtype).set_(piece, 0, shape)  # type: ignore[call-overload, no-any-return]

    def _new(self, size: int) -> UntypedStorage:
        """New memory; where there is too much, free pieces go, the one that was taken longest ago first."""
        used = size + sum(x.nbytes() for x in self._pieces if not _is_free(x))
        self._most_in_use = max(self._most_in_use, used)
        excess = self.bytes_held + size - _AT_MOST * self._most_in_use
        kept = []
        for x in self._pieces:
            if excess > 0 and _is_free(x):
                excess -= x.nbytes()
            else:
                kept.append(x)
        self._pieces = kept
        return UntypedStorage(size)  # type: ignore[no-untyped-call]

    @property
    def bytes_held(self) -> int:
        """Bytes of all pieces, used or free."""
        return sum(x.nbytes() for x in self._pieces)

    def release(self) -> None:
        """Give all memory back; what tensors use is freed with them."""
        with self._lock:
            self._pieces, self._most_in_use = [], 0


def _is_free(piece: UntypedStorage) -> bool:
    """Whether only the arena refers to it. Another process may read what was ever shared."""
    assert _references is not None
    return bool(_references(piece._cdata) == 1) and not piece.is_shared()


_ARENA = Arena()
#: Give back the memory that CPU kernels keep for their next call.
release_memory = _ARENA.release


def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A tensor of the CPU with any contents, as ``torch.empty``; large ones are from the arena."""
    is_small = prod(shape) * dtype.itemsize < _LARGE
    return torch.empty(shape, dtype=dtype) if is_small or _references is None else _ARENA.empty(shape, dtype)


def empty_like(x: Tensor) -> Tensor:
    """A tensor of the same shape and dtype with any contents."""
    return empty(*x.shape, dtype=x.dtype) if x.is_contiguous() else torch.empty_like(x)
