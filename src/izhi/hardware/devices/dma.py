"""Registers over MMIO and streams over DMA of a block in a PYNQ overlay, for the core and for the FPGA IP."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, ClassVar

from izhi.errors import DeviceError


class DMATransport(ABC):
    """A block in an overlay, with the DMA channels of its streams.

    Args:
        bitstream: the .bit, beside its .hwh.
        device: the PYNQ device; None for the board's own.
        patience: seconds that a transfer may take.

    Raises:
        DeviceError: if the overlay cannot be loaded, or has other blocks.

    Attributes:
        block: of messages.
        contents: the expected overlay, of messages.
    """

    block: ClassVar[str]
    contents: ClassVar[str]

    def __init__(self, bitstream: str | Path, device: Any = None, *, patience: float) -> None:
        import pynq

        self.patience = patience
        try:
            self.overlay = pynq.Overlay(str(bitstream), device=device)
            self._block = self._connect()
        except (OSError, RuntimeError, AttributeError, ValueError, KeyError) as error:
            raise DeviceError(f"cannot load {bitstream}: {error}; expected {self.contents}") from None
        self._buffers: dict[Hashable, Any] = {}

    @abstractmethod
    def _connect(self) -> Any:
        """Find the channels in the overlay; returns the block with the registers."""

    @abstractmethod
    def _restart(self) -> None:
        """Make all channels ready again after one is stuck."""

    def read(self, register: int) -> int:
        return int(self._block.read(int(register)))

    def write(self, register: int, value: int) -> None:
        self._block.write(int(register), int(value))

    def close(self) -> None:
        """Free the memory that DMA used, and the overlay."""
        for buffer in self._buffers.values():
            buffer.freebuffer()
        self._buffers = {}
        self.overlay.free()

    def _buffer(self, key: Hashable, words: int, kind: type) -> Any:
        """Memory that DMA can reach, of at least so many words, kept from transfer to transfer."""
        import pynq

        buffer = self._buffers.get(key)
        if buffer is None or len(buffer) < words:
            if buffer is not None:
                buffer.freebuffer()
            self._buffers[key] = buffer = pynq.allocate((words,), kind, target=self.overlay.device)
        return buffer

    def _start(self, channel: Any, buffer: Any, size: int) -> None:
        try:
            channel.transfer(buffer, nbytes=size)
        except (RuntimeError, ValueError) as error:
            raise DeviceError(f"DMA cannot begin: {error}; load the overlay anew") from None

    def _wait(self, channel: Any, action: str) -> None:
        """Poll until a transfer is done: PYNQ's own wait has no time limit, and interrupts may be missing."""
        try:
            self._poll(lambda: channel.idle or channel.error, f"{self.block} did not {action}")
        except DeviceError:
            self._restart()
            raise
        try:
            channel.wait()
        except RuntimeError as error:
            raise DeviceError(f"{self.block} did not {action}: {error}") from None

    def _poll(self, is_done: Callable[[], object], problem: str) -> None:
        """Raise DeviceError with the problem if something is not done in time."""
        end = time.monotonic() + self.patience
        while not is_done():
            if time.monotonic() > end:
                raise DeviceError(f"{problem} within {self.patience:g} s; load the overlay anew")
