"""Device, precision and processes of a run, by Lightning Fabric."""

from __future__ import annotations

import logging
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
    try:
        return Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, precision=cast(Precision, chosen))
    except (ValueError, RuntimeError, ImportError) as error:  # Fabric's errors about the machine
        raise _refusal(error, accelerator, devices) from None


def start_fabric(accelerator: str = "auto", *, devices: int = 1, nodes: int = 1, precision: str = "auto") -> Fabric:
    """Fabric for an accelerator, devices, machines and precision, launched.

    Raises:
        SettingError: if the machine lacks the accelerator, devices or precision.
    """
    keep_freed_memory()
    fabric = make_fabric(accelerator, devices=devices, nodes=nodes, precision=precision)
    try:
        fabric.launch()
    except (ValueError, RuntimeError, ImportError) as error:
        raise _refusal(error, accelerator, devices) from None
    return fabric


def _refusal(error: Exception, accelerator: str, devices: int) -> SettingError:
    return SettingError(f"accelerator {accelerator!r}, devices {devices}: {str(error).splitlines()[0]}")


def fast_precision(accelerator: str) -> Precision:
    """``bf16-mixed`` where bfloat16 products are fast (CPUs with AMX, recent GPUs), else 32 bits."""
    if accelerator != "cpu" and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return "bf16-mixed" if has_amx() else "32-true"
