"""The core and the FPGA IP on a board that runs PYNQ: overlays, registers over MMIO, streams over DMA.

It needs numpy and the package pynq, which the board's image holds; torch is not needed. The IP ran with stand-ins for
PYNQ's classes only, never on a board.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Hashable
from functools import reduce
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pynq
import pynq.lib.dma

from izhi.errors import DeviceError, SettingError
from izhi.hardware.core.packets import Words
from izhi.hardware.devices.device import poll
from izhi.hardware.ip.network import STREAMS
from izhi.hardware.ip.registers import read_hwh
from izhi.hardware.ip.streams import Words as IPWords

#: The most bytes of a transfer by a DMA without scatter-gather that has 14 bits for its length.
MOST_BYTES = (1 << 14) - 1
#: The register of a DMA by which both channels are reset, and the bit that stays 1 meanwhile (AMD PG021).
_DMA_CONTROL, _DMA_RESET = 0x00, 1 << 2


class DMATransport(ABC):
    """A block in an overlay, with the DMA channels of its streams.

    Args:
        bitstream: the .bit, beside its .hwh.
        device: the PYNQ device; None for the board's own.
        patience: seconds that a transfer may take; None for the block's default.

    Raises:
        DeviceError: if the overlay cannot be loaded, or has other blocks.

    Attributes:
        block: of messages.
        contents: the expected overlay, of messages.
    """

    block: ClassVar[str]
    contents: ClassVar[str]
    patience: float

    def __init__(self, bitstream: str | Path, device: Any = None, *, patience: float | None = None) -> None:
        if patience is not None:
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
            poll(lambda: channel.idle or channel.error, self.patience, f"{self.block} did not {action}")
        except DeviceError:
            self._restart()
            raise
        try:
            channel.wait()
        except RuntimeError as error:
            raise DeviceError(f"{self.block} did not {action}: {error}") from None


class IzhiCore(pynq.DefaultIP):
    """PYNQ's driver of the block: ``overlay.izhi``. Registers are those of ``izhi.hardware.core.protocol.Register``."""

    bindto = ["xilinx.com:module_ref:izhi:1.0"]  # noqa: RUF012  (PYNQ reads it from the class)


class PynqTransport(DMATransport):
    """Registers and streams of the core in an overlay that ``izhi.tcl`` made; see DMATransport."""

    block = "the core"
    contents = "the bitstream and .hwh that izhi.tcl makes"
    patience = 30.0

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
        dma = self._dma
        dma.write(_DMA_CONTROL, _DMA_RESET)
        poll(lambda: not int(dma.read(_DMA_CONTROL)) & _DMA_RESET, self.patience, "DMA was not reset")
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


def bitstream_in(folder: str | Path) -> Path:
    """The bitstream in a folder; SettingError unless there is exactly one."""
    files = sorted(Path(folder).glob("*.bit"))
    if len(files) != 1:
        raise SettingError(f"{folder} holds {len(files)} bitstreams (.bit), expected one, with its .hwh beside it")
    return files[0]


class PynqIPTransport(DMATransport):
    """Registers and streams of the IP in an overlay; see DMATransport.

    The .hwh says which DMA belongs to which stream. Where it does not show them side by side (with FIFOs between them,
    for example), they are taken in the order of their names, and the one that can receive brings the answer.
    """

    block = "the IP"
    contents = "the overlay of the IP with its four DMAs"
    patience = 5.0

    def __init__(self, bitstream: str | Path, device: Any = None, *, patience: float | None = None) -> None:
        self._described = read_hwh(Path(bitstream).with_suffix(".hwh"))
        self.registers = self._described.registers
        super().__init__(bitstream, device, patience=patience)

    def exchange(self, words: IPWords, room: int) -> IPWords:
        answer = self._stream(self._receiver, STREAMS, room)
        for number, (channel, stream) in enumerate(zip(self._senders, words, strict=True)):
            self._stream(channel, number, len(stream), stream)
        for channel in self._senders:
            self._wait(channel, "take the network")
        self._wait(self._receiver, "send its spikes")
        return np.array(answer[: int(self._receiver.transferred) // 8], np.uint64)

    def _stream(self, channel: Any, number: int, words: int, values: Any = None) -> Any:
        """Start the transfer of a buffer, with values to send."""
        if 8 * words > MOST_BYTES:
            raise DeviceError(
                f"a stream has {8 * words:,} bytes, expected at most {MOST_BYTES:,}, which DMA without"
                " scatter-gather can move; use a smaller network"
            )
        buffer = self._buffer((number, words), words, np.uint64)  # a stream has few lengths
        if values is not None:
            buffer[:] = values
        self._start(channel, buffer, buffer.nbytes)
        return buffer

    def _connect(self) -> Any:
        names = [x for x, block in self.overlay.ip_dict.items() if "axi_dma" in block["type"]]
        # dma_10 behind dma_9
        names.sort(key=lambda name: [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", name)])
        dmas = {name: self._at(name) for name in names}
        senders = self._described.senders or tuple(n for n in names if dmas[n].sendchannel is not None)
        receivers = [n for n in names if dmas[n].recvchannel is not None]
        if self._described.receiver is not None:
            receivers = [self._described.receiver]
        if len(senders) != STREAMS or len(receivers) != 1:
            raise ValueError(
                f"it has {len(senders)} DMAs that send and {len(receivers)} that receive, not {STREAMS} and 1"
            )
        self._senders, self._receiver = [dmas[n].sendchannel for n in senders], dmas[receivers[0]].recvchannel
        return self._at(self._described.name)

    def _restart(self) -> None:
        for channel in (*self._senders, self._receiver):
            channel.stop()
            channel.start()

    def _at(self, name: str) -> Any:
        """A block of the overlay, by its name and those of the hierarchies around it."""
        return reduce(getattr, name.split("/"), self.overlay)
