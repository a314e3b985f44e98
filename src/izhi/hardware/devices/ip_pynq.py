"""The FPGA IP on a board that runs PYNQ: its registers over MMIO, its streams over four DMAs.

It needs the package pynq, which the board's image holds, and numpy; torch is not needed. It was run with
stand-ins for PYNQ's classes only, never on a board.
"""

from __future__ import annotations

import re
import time
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pynq
import pynq.lib.dma

from izhi.errors import DeviceError, SettingError
from izhi.hardware.ip.network import STREAMS
from izhi.hardware.ip.registers import IPOverlay, read_hwh
from izhi.hardware.ip.streams import Words

#: Seconds without an answer after which a transfer is given up, and the most bytes of one: a DMA without
#: scatter-gather has 14 bits for its length.
PATIENCE, MOST_BYTES = 5.0, (1 << 14) - 1


def bitstream_in(folder: str | Path) -> Path:
    """The bitstream in a folder; SettingError unless there is one alone."""
    found = sorted(Path(folder).glob("*.bit"))
    if len(found) != 1:
        raise SettingError(f"{folder} holds {len(found)} bitstreams (.bit), expected one, with its .hwh beside it")
    return found[0]


class PynqIPTransport:
    """Registers and streams of the IP in an overlay.

    Which DMA belongs to which stream is read from the .hwh. Where it does not show them side by side (there
    are FIFOs between them, say), they are taken in the order of their names, and the one that can receive
    brings the answer.

    Args:
        bitstream: the .bit, beside its .hwh.
        device: the PYNQ device; None for the board's own.
        patience: seconds that a transfer may take.

    Raises:
        DeviceError: if the overlay cannot be loaded, or has no IP or not its DMAs.
    """

    def __init__(self, bitstream: str | Path, device: Any = None, *, patience: float = PATIENCE) -> None:
        self.patience = patience
        found = read_hwh(Path(bitstream).with_suffix(".hwh"))
        self.registers = found.registers
        try:
            self.overlay = pynq.Overlay(str(bitstream), device=device)
            self._ip = self._at(found.name)
            self._senders, self._receiver = self._channels(found)
        except (OSError, RuntimeError, AttributeError, ValueError, KeyError) as error:
            raise DeviceError(
                f"cannot load {bitstream}: {error}; expected the overlay of the IP with its four DMAs"
            ) from None
        self._target = self.overlay.device
        self._buffers: dict[tuple[int, int], Any] = {}

    def read(self, offset: int) -> int:
        return int(self._ip.read(int(offset)))

    def write(self, offset: int, value: int) -> None:
        self._ip.write(int(offset), int(value))

    def exchange(self, words: Words, room: int) -> Words:
        answer = self._buffer(STREAMS, room)
        self._start(self._receiver, answer)
        for number, (channel, stream) in enumerate(zip(self._senders, words, strict=True)):
            buffer = self._buffer(number, len(stream))
            buffer[:] = stream
            self._start(channel, buffer)
        for channel in self._senders:
            self._wait(channel, "take the network")
        self._wait(self._receiver, "send its spikes")
        return np.array(answer[: int(self._receiver.transferred) // 8], np.uint64)

    def close(self) -> None:
        """Free the memory that DMA used, and the overlay."""
        for buffer in self._buffers.values():
            buffer.freebuffer()
        self._buffers = {}
        self.overlay.free()

    def _at(self, name: str) -> Any:
        """A block of the overlay, by its name and those of the hierarchies around it."""
        return reduce(getattr, name.split("/"), self.overlay)

    def _channels(self, found: IPOverlay) -> tuple[list[Any], Any]:
        """The channels that send each stream, and the one that receives."""
        names = [x for x, block in self.overlay.ip_dict.items() if "axi_dma" in block["type"]]
        # dma_10 behind dma_9
        names.sort(key=lambda name: [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", name)])
        dmas = {name: self._at(name) for name in names}
        senders = found.senders or tuple(n for n in names if dmas[n].sendchannel is not None)
        receivers = [n for n in names if dmas[n].recvchannel is not None]
        if found.receiver is not None:
            receivers = [found.receiver]
        if len(senders) != STREAMS or len(receivers) != 1:
            raise ValueError(
                f"it has {len(senders)} DMAs that send and {len(receivers)} that receive, not {STREAMS} and 1"
            )
        return [dmas[name].sendchannel for name in senders], dmas[receivers[0]].recvchannel

    def _buffer(self, number: int, words: int) -> Any:
        """Memory that DMA can reach, kept from sample to sample; a stream has few lengths."""
        key = number, words
        if key not in self._buffers:
            if 8 * words > MOST_BYTES:
                raise DeviceError(
                    f"a stream has {8 * words:,} bytes, expected at most {MOST_BYTES:,}, which DMA without"
                    " scatter-gather can move; use a smaller network"
                )
            self._buffers[key] = pynq.allocate((words,), np.uint64, target=self._target)
        return self._buffers[key]

    def _start(self, channel: Any, buffer: Any) -> None:
        try:
            channel.transfer(buffer, nbytes=buffer.nbytes)
        except (RuntimeError, ValueError) as error:
            raise DeviceError(f"DMA cannot begin: {error}; load the overlay anew") from None

    def _wait(self, channel: Any, what: str) -> None:
        """Ask until a transfer is done: PYNQ's own wait has no limit of time, and interrupts may be missing."""
        end = time.monotonic() + self.patience
        while not channel.idle and not channel.error:
            if time.monotonic() > end:
                for stuck in (*self._senders, self._receiver):
                    stuck.stop()
                    stuck.start()
                raise DeviceError(f"the IP did not {what} within {self.patience:g} s; load the overlay anew")
        try:
            channel.wait()
        except RuntimeError as error:
            raise DeviceError(f"the IP did not {what}: {error}") from None


__all__ = ["MOST_BYTES", "PATIENCE", "PynqIPTransport", "bitstream_in"]
