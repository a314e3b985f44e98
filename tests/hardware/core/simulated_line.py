"""The simulated pins of a core behind a serial line, as a serial port."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from izhi.hardware.core.compile import compiled
from izhi.hardware.core.serial.top import Top
from izhi.hardware.core.shape import CoreShape

_SOURCE = Path(__file__).with_name("line.cc")
#: Bytes in the time for which a read waits.
_PATIENCE = 100


@cache
def _library(shape: CoreShape, divisor: int) -> Path:
    return compiled(f"{shape} behind a serial line, {divisor}", lambda: Top(shape, divisor), _SOURCE.read_text())


class SimulatedLine:
    """A port like pyserial's ``Serial``, whose line ends at the pins of the simulated top level.

    Args:
        shape: of the core.
        divisor: clock cycles of a bit, as the design was built for.
        skew: cycles by which the host's bits are longer than the design's.
        damage: applied to bytes on the line, written and read; None for an intact line.
    """

    in_waiting = 0

    def __init__(
        self, shape: CoreShape, divisor: int = 4, *, skew: int = 0, damage: Callable[[bytes], bytes] | None = None
    ) -> None:
        self.bit, self.host_bit, self.damage = divisor, divisor + skew, damage
        self._library = ctypes.CDLL(str(_library(shape, divisor)))
        self._library.line_create.restype = ctypes.c_void_p
        self._library.line_cycles.restype = ctypes.c_uint64
        self._line = ctypes.c_void_p(self._library.line_create())
        self._waiting = bytearray()
        self.read()  # until the reset is over

    @property
    def cycles(self) -> int:
        """Clock cycles so far."""
        return int(self._library.line_cycles(self._line))

    def write(self, data: bytes) -> None:
        """Bytes for the board, which are sent while ``read`` runs."""
        self._waiting += data if self.damage is None else self.damage(data)

    def read(self, size: int = 1) -> bytes:
        """The next byte from the board, or none after a while without one."""
        cycles = (len(self._waiting) + _PATIENCE) * 10 * self.host_bit
        data, sent = np.frombuffer(bytes(self._waiting), np.uint8), ctypes.c_size_t()
        value = self._library.line_run(
            self._line, data.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(len(data)), ctypes.byref(sent),
            ctypes.c_uint64(cycles), self.host_bit, self.host_bit,
        )  # fmt: skip
        del self._waiting[: sent.value]
        byte = bytes([value]) if value >= 0 else b"\0" if value == -2 else b""
        return byte if self.damage is None else self.damage(byte)

    def close(self) -> None:
        if self._line:
            self._library.line_destroy(self._line)
            self._line = ctypes.c_void_p()
