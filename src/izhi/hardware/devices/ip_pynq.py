"""The FPGA IP on a board that runs PYNQ: its registers over MMIO, its streams over four DMAs.

It needs numpy and the package pynq, which the board's image holds; torch is not needed. It ran with stand-ins for
PYNQ's classes only, never on a board.
"""

from __future__ import annotations

import re
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pynq.lib.dma  # noqa: F401  (registers the driver of DMAs)

from izhi.errors import DeviceError, SettingError
from izhi.hardware.devices.dma import DMATransport
from izhi.hardware.ip.network import STREAMS
from izhi.hardware.ip.registers import read_hwh
from izhi.hardware.ip.streams import Words

#: Seconds without an answer after which a transfer fails, and the most bytes of one: a DMA without
#: scatter-gather has 14 bits for its length.
PATIENCE, MOST_BYTES = 5.0, (1 << 14) - 1


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

    def __init__(self, bitstream: str | Path, device: Any = None, *, patience: float = PATIENCE) -> None:
        self._described = read_hwh(Path(bitstream).with_suffix(".hwh"))
        self.registers = self._described.registers
        super().__init__(bitstream, device, patience=patience)

    def exchange(self, words: Words, room: int) -> Words:
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
