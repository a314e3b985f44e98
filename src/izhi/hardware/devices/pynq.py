"""The core on a board that runs PYNQ: its overlay, registers over MMIO, packets over DMA.

It needs numpy and the package pynq, which the board's image holds; torch is not needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pynq.lib.dma  # noqa: F401  (registers the driver of DMAs)
from pynq import DefaultIP

from izhi.hardware.core.packets import Words
from izhi.hardware.devices.dma import DMATransport

#: Seconds without an answer after which a transfer fails.
PATIENCE = 30.0
#: The register of a DMA by which both channels are reset, and the bit that stays 1 meanwhile (AMD PG021).
_DMA_CONTROL, _DMA_RESET = 0x00, 1 << 2


class IzhiCore(DefaultIP):
    """PYNQ's driver of the block: ``overlay.izhi``. Registers are those of ``izhi.hardware.core.protocol.Register``."""

    bindto = ["xilinx.com:module_ref:izhi:1.0"]  # noqa: RUF012  (PYNQ reads it from the class)


class PynqTransport(DMATransport):
    """Registers and streams of the core in an overlay that ``izhi.tcl`` made; see DMATransport."""

    block = "the core"
    contents = "the bitstream and .hwh that izhi.tcl makes"

    def __init__(self, bitstream: str | Path, device: Any = None, *, patience: float = PATIENCE) -> None:
        super().__init__(bitstream, device, patience=patience)

    def _connect(self) -> Any:
        self._dma = self.overlay.dma
        self._receive, self._send = self._dma.recvchannel, self._dma.sendchannel
        return self.overlay.izhi

    def send(self, packet: Words) -> None:
        buffer = self._buffer("out", len(packet), np.uint32)
        buffer[: len(packet)] = packet
        self._start(self._send, buffer, 4 * len(packet))
        self._wait(self._send, "send a packet")

    def exchange(self, packet: Words, room: int) -> Words:
        answer = self._start_receiving(room)
        self.send(packet)
        return self._received(answer)

    def receive(self, room: int) -> Words:
        return self._received(self._start_receiving(room))

    def drop(self) -> None:
        """Reset the DMA: both channels restart, and words that it holds are lost."""
        self._dma.write(_DMA_CONTROL, _DMA_RESET)
        self._poll(lambda: not int(self._dma.read(_DMA_CONTROL)) & _DMA_RESET, "DMA was not reset")
        for channel in (self._send, self._receive):
            channel.start()

    _restart = drop

    def _start_receiving(self, room: int) -> Any:
        answer = self._buffer("in", room, np.uint32)
        self._start(self._receive, answer, 4 * room)
        return answer

    def _received(self, answer: Any) -> Words:
        self._wait(self._receive, "receive a packet")
        return np.array(answer[: int(self._receive.transferred) // 4], np.uint32)
