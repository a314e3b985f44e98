"""Device, precision and processes of a run, by Lightning Fabric."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, cast

import torch
from lightning_fabric import Fabric

from izhi.errors import SettingError
from izhi.training.memory import keep_freed_memory

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


def fast_precision(accelerator: str) -> Precision:
    """``bf16-mixed`` where bfloat16 products are fast (CPUs with AMX, recent GPUs), else 32 bits."""
    if accelerator != "cpu" and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return "bf16-mixed" if has_amx() else "32-true"
