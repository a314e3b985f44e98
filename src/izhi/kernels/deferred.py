"""Truth values on a device that are read without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor


def waits_for(device: torch.device) -> bool:
    """Whether a CPU that reads numbers of a device waits for all work that was queued there before."""
    return device.type != "cpu"


class DeferredFlags:
    """Flags of a device on their way to the CPU.

    Args:
        flags: (n,) of truth values.
    """

    def __init__(self, flags: Tensor) -> None:
        self._flags = flags
        self._event: torch.cuda.Event | None = None
        if flags.is_cuda:
            self._flags = torch.empty(flags.shape, dtype=flags.dtype, pin_memory=True)
            self._flags.copy_(flags, non_blocking=True)
            self._event = torch.cuda.current_stream(flags.device).record_event()

    def __reduce__(self) -> tuple[type[DeferredFlags], tuple[Tensor]]:  # a copy, such as of a network, has none
        return DeferredFlags, (torch.zeros(self._flags.shape, dtype=torch.bool),)

    def read(self) -> list[bool] | None:
        """The flags; None while they are not there yet."""
        if self._event is not None and not self._event.query():  # type: ignore[no-untyped-call]
            return None
        found: list[bool] = self._flags.tolist()
        return found


def can_defer(device: torch.device) -> bool:
    """Whether flags of a device can be copied now; not while a CUDA graph captures its work."""
    return device.type != "cuda" or not torch.cuda.is_current_stream_capturing()
