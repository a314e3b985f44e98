"""The core on a board that runs PYNQ: its overlay, registers over MMIO, packets over DMA.

It needs the package pynq, which the board's image holds, and numpy; torch is not needed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pynq
import pynq.lib.dma
from pynq import DefaultIP

from izhi.errors import DeviceError
from izhi.hardware.core.packets import Words

#: Seconds without an answer after which a transfer is given up.
PATIENCE = 30.0
#: The register of a DMA by which both channels are reset, and the bit that stays 1 meanwhile (AMD PG021).
_DMA_CONTROL, _DMA_RESET = 0x00, 1 << 2


class IzhiCore(DefaultIP):
    """PYNQ's driver of the block: ``overlay.izhi``. Registers are those of ``izhi.rtl.protocol.Register``."""

    bindto = ["xilinx.com:module_ref:izhi:1.0"]  # noqa: RUF012  (PYNQ reads it from the class)


class PynqTransport:
    """Registers and streams of the core in an overlay that ``izhi.tcl`` made.

    Args:
        bitstream: izhi.bit, beside izhi.hwh.
        device: the PYNQ device; None for the board's own.
        patience: seconds that a transfer may take.

    Raises:
        DeviceError: if the overlay cannot be loaded, or has no core or DMA.
    """

    def __init__(self, bitstream: str | Path, device: Any = None, *, patience: float = PATIENCE) -> None:
        self.patience = patience
        try:
            self.overlay = pynq.Overlay(str(bitstream), device=device)
            self._core, self._dma = self.overlay.izhi, self.overlay.dma
            self._receive, self._send = self._dma.recvchannel, self._dma.sendchannel
        except (OSError, RuntimeError, AttributeError, ValueError) as error:
            raise DeviceError(
                f"cannot load {bitstream}: {error}; expected the bitstream and .hwh that izhi.tcl makes"
            ) from None
        self._target = self.overlay.device
        self._buffers: dict[str, Any] = {}

    def read(self, register: int) -> int:
        return int(self._core.read(int(register)))

    def write(self, register: int, value: int) -> None:
        self._core.write(int(register), int(value))

    def send(self, packet: Words) -> None:
        self._start_sending(packet)
        self._wait(self._send, "send")

    def exchange(self, packet: Words, room: int) -> Words:
        answer = self._start_receiving(room)
        self._start_sending(packet)
        self._wait(self._send, "send")
        return self._received(answer)

    def receive(self, room: int) -> Words:
        return self._received(self._start_receiving(room))

    def drop(self) -> None:
        """Reset the DMA: its channels begin anew, and words that it holds are gone."""
        self._dma.write(_DMA_CONTROL, _DMA_RESET)
        end = time.monotonic() + self.patience
        while int(self._dma.read(_DMA_CONTROL)) & _DMA_RESET:
            if time.monotonic() > end:
                raise DeviceError(f"DMA was not reset within {self.patience:g} s; load the overlay anew")
        for channel in (self._send, self._receive):
            channel.start()

    def close(self) -> None:
        """Free the memory that DMA used, and the overlay."""
        for buffer in self._buffers.values():
            buffer.freebuffer()
        self._buffers = {}
        self.overlay.free()

    def _start_sending(self, packet: Words) -> None:
        buffer = self._buffer("out", len(packet))
        buffer[: len(packet)] = packet
        self._start(self._send, buffer, 4 * len(packet))

    def _start_receiving(self, room: int) -> Any:
        answer = self._buffer("in", room)
        self._start(self._receive, answer, 4 * room)
        return answer

    def _received(self, answer: Any) -> Words:
        self._wait(self._receive, "receive")
        return np.array(answer[: int(self._receive.transferred) // 4], np.uint32)

    def _start(self, channel: Any, buffer: Any, size: int) -> None:
        try:
            channel.transfer(buffer, nbytes=size)
        except (RuntimeError, ValueError) as error:
            raise DeviceError(f"DMA cannot begin: {error}; load the overlay anew") from None

    def _buffer(self, name: str, words: int) -> Any:
        """Memory that DMA can reach, kept from packet to packet."""
        kept = self._buffers.get(name)
        if kept is None or len(kept) < words:
            if kept is not None:
                kept.freebuffer()
            kept = pynq.allocate((words,), np.uint32, target=self._target)
            self._buffers[name] = kept
        return kept

    def _wait(self, channel: Any, what: str) -> None:
        """PYNQ's own wait has no limit of time, and would hang where a board has gone astray."""
        end = time.monotonic() + self.patience
        while not channel.idle and not channel.error:
            if time.monotonic() > end:
                self.drop()
                raise DeviceError(f"the core did not {what} a packet within {self.patience:g} s; load the overlay anew")
        try:
            channel.wait()
        except RuntimeError as error:
            raise DeviceError(f"DMA cannot {what} a packet: {error}") from None


__all__ = ["PATIENCE", "IzhiCore", "PynqTransport"]
