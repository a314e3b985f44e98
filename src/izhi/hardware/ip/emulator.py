"""The IP as a program: its registers, streams and states."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from izhi.errors import DeviceError, ShapeError
from izhi.hardware.ip import streams
from izhi.hardware.ip.arithmetic import run
from izhi.hardware.ip.network import LAYERS, STEPS, WIDTH, Build
from izhi.hardware.ip.registers import IPControl, IPState, RegisterMap
from izhi.hardware.ip.streams import Words

_MASK = (1 << 32) - 1


class EmulatedIP:
    """A block that answers like the IP, without delay.

    A start in state INIT reads the registers; a start in state PROCESS waits for the four streams, computes and sends
    the spikes. Each PROCESS needs an INIT, and keeps the spikes of the last layer: if n_out is larger than that layer,
    spikes of an earlier network follow, as they do from the IP. For sizes beyond its limits, or a PROCESS without an
    INIT, the IP's behaviour is unknown: here it returns 0 and computes nothing, so that such a driver fails.

    Args:
        build: its neuron.
        registers: offsets of its registers.
    """

    def __init__(self, build: Build = "izhi", registers: RegisterMap | None = None) -> None:
        self.build, self.registers = build, registers or RegisterMap()
        self._values: dict[int, int] = {}
        self._spikes = np.zeros((STEPS, WIDTH), np.uint8)
        self._sizes: tuple[int, tuple[int, ...], int] | None = None  # n_in, n_layer, n_out of INIT
        self._currents = np.zeros((1, WIDTH), np.float32)
        self._is_done = self._waits = False

    def read(self, offset: int) -> int:
        """The value of a register."""
        if offset == self.registers.control:
            value = self._is_done << IPControl.DONE | self._is_done << IPControl.READY
            self._is_done = False
            return value | (not self._waits) << IPControl.IDLE | self._waits << IPControl.START
        return self._values.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Write a register; ap_start starts it."""
        if offset % 4 or not 0 <= offset < 1 << 16:
            raise DeviceError(f"register offset is {offset}, expected a multiple of 4 within 64 KiB")
        if offset != self.registers.control:
            self._values[offset] = value & _MASK
        elif value >> IPControl.START & 1 and not self._waits:
            self._start()

    def exchange(self, words: Words, room: int) -> Words:
        """Send the four streams, (4, words); returns the answer, of at most ``room`` words.

        Raises:
            DeviceError: if it expects no streams, or others.
        """
        if not self._waits or self._sizes is None:
            raise DeviceError("the IP takes no streams, expected a start in state PROCESS first")
        inputs, sizes, outputs = self._sizes
        self._waits, self._sizes = False, None
        try:
            network = streams.unpack_network(words, inputs, sizes, self.build)
        except ShapeError as error:
            raise DeviceError(f"the IP waits for other streams: {error}") from None
        fired = run(network, self._currents[:, :inputs]).spikes[-1][:, 0]
        self._spikes[:, : fired.shape[1]] = fired
        answer = streams.pack_spikes(self._spikes[:, :outputs])
        self._finish(1)
        if len(answer) > room:
            raise DeviceError(f"the IP sends {len(answer)} words, expected at most {room}")
        return answer

    def close(self) -> None:
        """It has nothing to release."""

    def _start(self) -> None:
        if self._values.get(self.registers.state, 0) == IPState.INIT:
            self._finish(self._init())
        elif self._values.get(self.registers.state) == IPState.PROCESS and self._sizes is not None:
            self._waits = True
        else:
            self._finish(0)

    def _finish(self, returned: int) -> None:
        self._values[self.registers.returned] = returned
        self._is_done = True

    def _init(self) -> int:
        """Read the registers; 1 if they are within the limits."""
        at, values = self.registers, self._values
        self._sizes = None
        count, inputs, outputs = (values.get(x, 0) for x in (at.layers, at.inputs, at.outputs))
        if not (1 <= count <= LAYERS and 1 <= inputs <= WIDTH and 1 <= outputs <= WIDTH):
            return 0
        sizes = tuple(self._array(at.widths, LAYERS)[:count].tolist())
        if not all(1 <= size <= WIDTH for size in sizes):
            return 0
        currents = self._array(at.currents, WIDTH).view(np.float32)
        if not np.isfinite(currents[:inputs]).all():
            return 0
        self._currents = currents[None]
        self._sizes = inputs, sizes, outputs
        return 1

    def _array(self, start: int, count: int) -> NDArray[np.uint32]:
        return np.array([self._values.get(start + 4 * k, 0) for k in range(count)], np.uint32)
