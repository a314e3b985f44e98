"""Allocation: memory that the C library keeps instead of returning it to the system."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, for its next step.

    A training step allocates and frees the same large tensors again and again. The GNU C library returns
    such memory to the system each time, which then clears every page anew: that takes longer than
    all neurons of a network. Elsewhere this does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for limit in (2**31 - 1, 32 * 2**20):  # older versions take no more than the second
        if mallopt(_MMAP_THRESHOLD, limit):
            break
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
