"""The core behind a serial line: its registers and packets in frames (izhi.hardware.core.serial.frames).

It needs the package pyserial for a port of this computer; torch is not needed.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from typing import Protocol

import numpy as np

from izhi.errors import DeviceError, install
from izhi.hardware.core.packets import Words
from izhi.hardware.core.serial.frames import BAUD, MOST_WORDS, AnswerStatus, Frame, FrameReader, Request, to_bytes

#: Seconds without progress after which a transfer fails.
PATIENCE = 30.0
#: How often a request is sent before it fails.
_ATTEMPTS = 5
#: Seconds that an answer may take beyond its bytes: USB adapters collect bytes for up to 16 ms.
_LATENCY = 0.2
#: The most bytes of a frame, all of them escaped.
_MOST_BYTES = 2 * (4 * MOST_WORDS + 6) + 2


class Port(Protocol):
    """A serial port like pyserial's: a read returns received bytes, or none after a timeout."""

    @property
    def in_waiting(self) -> int:
        """Bytes that can be read at once."""

    def write(self, data: bytes, /) -> object:
        """Send bytes."""

    def read(self, size: int = 1, /) -> bytes:
        """At most so many bytes."""

    def close(self) -> None:
        """Release it."""


def port(name: str, baud: int = BAUD) -> Port:
    """A serial port of this computer.

    Raises:
        DeviceError: if it does not exist, or pyserial is not installed.
    """
    try:
        import serial
    except ImportError:
        raise DeviceError(f"the package pyserial is not installed; {install('serial')}") from None
    try:
        opened: Port = serial.Serial(name, baud, timeout=_LATENCY + 20 * _MOST_BYTES / baud)
    except (OSError, ValueError) as error:  # pyserial's own error is an OSError
        raise DeviceError(f"cannot open the serial port {name}: {error}") from None
    return opened


class SerialTransport:
    """Registers and streams of a core that ``izhi rtl --board`` built for a board with a serial line.

    Args:
        port: of the board.
        patience: seconds without progress after which a transfer fails.

    Raises:
        DeviceError: if the board does not answer.
    """

    def __init__(self, port: Port, *, patience: float = PATIENCE) -> None:
        self.port, self.patience = port, patience
        # With a random number late answers to another program are not taken for answers to this one.
        self._reader, self._sequence = FrameReader(), secrets.randbelow(256)
        self._is_over, self._room = False, 0
        self.drop()

    def read(self, register: int) -> int:
        answer = self._ask(Request.READ, [int(register)])
        if answer.kind != AnswerStatus.DONE or len(answer.words) != 1:
            raise DeviceError(f"register 0x{int(register):02X} cannot be read: the board refuses it")
        return answer.words[0]

    def write(self, register: int, value: int) -> None:
        end = time.monotonic() + self.patience
        while True:
            answer = self._ask(Request.WRITE, [int(register), int(value)])
            if answer.kind == AnswerStatus.DONE:
                return
            if answer.kind != AnswerStatus.BUSY:
                raise DeviceError(f"register 0x{int(register):02X} cannot be written: the board refuses it")
            if time.monotonic() > end:
                raise DeviceError(f"register 0x{int(register):02X} was not written within {self.patience:g} s")

    def send(self, packet: Words) -> None:
        self._send(packet, 0)

    def exchange(self, packet: Words, room: int) -> Words:
        return self._answer(self._send(packet, room), room)

    def receive(self, room: int) -> Words:
        return self._answer([], room)

    def drop(self) -> None:
        """Discard the words in the queues of the board."""
        self._ask(Request.RESET)
        self._is_over, self._room = False, 0

    def close(self) -> None:
        self.port.close()

    def _send(self, packet: Words, room: int) -> list[int]:
        """Send a packet; returns words of its answer that were fetched meanwhile, so that the core could continue."""
        received: list[int] = []
        end = time.monotonic() + self.patience
        for start in range(0, len(packet), MOST_WORDS):
            words = packet[start : start + MOST_WORDS].tolist()
            while self._room < len(words):
                if room and self._fetch(received, room):
                    end = time.monotonic() + self.patience
                if time.monotonic() > end:
                    raise DeviceError(f"the board took no words for {self.patience:g} s; reset it")
                self._hand_over(Request.SEND, [])
            self._hand_over(Request.SEND_LAST if start + MOST_WORDS >= len(packet) else Request.SEND, words)
            end = time.monotonic() + self.patience
        return received

    def _hand_over(self, request: Request, words: list[int]) -> None:
        """Send words of a packet, for which there is room; the answer holds the room left."""
        answer = self._ask(request, words)
        if answer.kind != AnswerStatus.DONE or len(answer.words) != 1:
            raise DeviceError("the board refuses words of a packet; is its design that of this version of Izhi?")
        self._room = answer.words[0]

    def _answer(self, received: list[int], room: int) -> Words:
        """The packet that the board sends, of which some words are received already."""
        end = time.monotonic() + self.patience
        while not self._is_over:
            if self._fetch(received, room):
                end = time.monotonic() + self.patience
            elif time.monotonic() > end:
                raise DeviceError(f"the board sent nothing for {self.patience:g} s; reset it")
        self._is_over = False
        return np.array(received, np.uint32)

    def _fetch(self, received: list[int], room: int) -> int:
        """Fetch words of a packet up to its last one; returns their number."""
        if self._is_over:
            return 0
        answer = self._ask(Request.FETCH)
        received.extend(answer.words)
        self._is_over = answer.kind == AnswerStatus.LAST
        if len(received) > room:
            raise DeviceError(f"the board sent more than {room:,} words, which a packet has at most; reset it")
        return len(answer.words)

    def _ask(self, request: Request, words: Iterable[int] = ()) -> Frame:
        """The answer to a request, which is repeated until there is one.

        Raises:
            DeviceError: if there is none.
        """
        self._sequence = (self._sequence + 1) % 256
        data = to_bytes(Frame(self._sequence, request, tuple(words)))
        for _ in range(_ATTEMPTS):
            self.port.write(data)
            left = 2 * _MOST_BYTES  # noise on the line must not delay the next attempt for ever
            while left > 0 and (data_in := self.port.read(max(1, self.port.in_waiting))):
                left -= len(data_in)
                for frame in self._reader.feed(data_in):
                    if frame.sequence == self._sequence:
                        return frame
        raise DeviceError(
            f"the serial line gives no answer to {_ATTEMPTS} requests; check the port, its rate of bits, and that the"
            " board holds the design of izhi rtl"
        )
