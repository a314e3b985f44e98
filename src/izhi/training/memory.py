"""Memory of the machine, and of the C library, which keeps freed memory for reuse."""

from __future__ import annotations

import ctypes
import math
import os
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h


def memory_of_machine() -> float:
    """Bytes of memory of this machine; inf if unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return math.inf


def keep_freed_memory() -> None:
    """Keep freed memory in this process for its next step.

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
