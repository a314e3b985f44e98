"""Device, precision and processes of a run, by Lightning Fabric."""

from __future__ import annotations

import ctypes
import logging
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, cast

import torch
from lightning_fabric import Fabric

from izhi.errors import SettingError
from izhi.kernels import routes

Precision = Literal["32-true", "64-true", "bf16-mixed", "16-mixed"]


def make_fabric(accelerator: str = "auto", *, devices: int = 1, nodes: int = 1, precision: str = "auto") -> Fabric:
    """Fabric for an accelerator, devices, machines and precision; its processes are not started.

    Raises:
        SettingError: if the machine lacks the accelerator, devices or precision.
    """
    chosen = fast_precision(accelerator) if precision == "auto" else precision
    # Fabric logs its precision for each instance.
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
    with _refused(accelerator, devices):
        return Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, precision=cast(Precision, chosen))


def start_fabric(accelerator: str = "auto", *, devices: int = 1, nodes: int = 1, precision: str = "auto") -> Fabric:
    """``make_fabric``, launched."""
    keep_freed_memory()
    fabric = make_fabric(accelerator, devices=devices, nodes=nodes, precision=precision)
    with _refused(accelerator, devices):
        fabric.launch()
    return fabric


@contextmanager
def _refused(accelerator: str, devices: int) -> Iterator[None]:
    """Within it, Fabric's errors about the machine become a SettingError."""
    try:
        yield
    except (ValueError, RuntimeError, ImportError) as error:
        raise SettingError(f"accelerator {accelerator!r}, devices {devices}: {str(error).splitlines()[0]}") from None


def fast_precision(accelerator: str, *, convolutions: bool = False) -> Precision:
    """``bf16-mixed`` where bfloat16 products are fast (CPUs with AMX, recent GPUs), else 32 bits.

    For convolutions, CPUs that multiply vectors of bfloat16 are fast as well.
    """
    if accelerator != "cpu" and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    is_fast = has_amx() or (convolutions and routes.convolution_unit(torch.bfloat16) is not None)
    return "bf16-mixed" if is_fast else "32-true"


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
