"""Frames on the serial line between a host and a core: requests and their answers. Needs Python alone.

A frame is bytes between two flags (0x7E). A byte that is a flag or an escape (0x7D) is sent as an escape and the byte
with bit 5 changed, as in HDLC (RFC 1662), so that a receiver synchronises again at the next flag. In a frame:

    byte 0      sequence number, chosen by the host; the answer repeats it
    byte 1      the request, or in an answer the status
    bytes 2 …   words of 32 bits, the lowest byte first, at most MOST_WORDS
    4 bytes     CRC-32 (ISO-HDLC, as zlib has it) of all bytes before, the lowest first

A frame whose CRC is wrong is not answered. A request with the sequence number of the one before is not executed again:
its answer is sent once more. So a host that gets no answer repeats its request, and nothing is lost or done twice.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

FLAG, ESCAPE, FLIP = 0x7E, 0x7D, 0x20
#: Bits a second, unless another rate is wanted.
BAUD = 1_000_000
#: Of one frame.
MOST_WORDS = 256


class Request(IntEnum):
    """Requests of a host, with their words, and those of the answer."""

    RESET = 0  #: discard the words in the queues to the core and from it; the core itself continues
    READ = 1  #: byte address of a register → its value
    WRITE = 2  #: byte address of a register, value
    SEND = 3  #: words of a packet, or none → the number of words that have room
    SEND_LAST = 4  #: words of a packet, and its end → the same
    FETCH = 5  #: → words of a packet


class AnswerStatus(IntEnum):
    """The status of an answer."""

    DONE = 0  #: done; of FETCH: the packet has more words
    LAST = 1  #: of FETCH: the last word ends a packet
    BUSY = 2  #: of SEND: no word was accepted, for lack of room
    REFUSED = 3  #: an unknown request, a wrong number of words, or an unknown register


class Frame(NamedTuple):
    """The contents of a frame."""

    sequence: int
    kind: int
    words: tuple[int, ...] = ()


def to_bytes(frame: Frame) -> bytes:
    """The bytes of a frame on the line, flags included."""
    body = struct.pack(f"<BB{len(frame.words)}I", frame.sequence, frame.kind, *frame.words)
    body += struct.pack("<I", zlib.crc32(body))
    escaped = body.replace(bytes([ESCAPE]), bytes([ESCAPE, ESCAPE ^ FLIP]))
    return bytes([FLAG]) + escaped.replace(bytes([FLAG]), bytes([ESCAPE, FLAG ^ FLIP])) + bytes([FLAG])


class FrameReader:
    """Decodes frames from bytes; damaged frames are left out."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes | Sequence[int]) -> Iterator[Frame]:
        """The frames that end in these bytes."""
        for byte in data:
            if byte != FLAG:
                # Noise on the line must not fill memory.
                if len(self._held) <= 2 * (4 * MOST_WORDS + 6):
                    self._held.append(byte)
                continue
            frame = _of(bytes(self._held))
            self._held.clear()
            if frame is not None:
                yield frame


def _of(escaped: bytes) -> Frame | None:
    """The frame between two flags; None if there is none."""
    pieces = escaped.split(bytes([ESCAPE]))
    if any(not piece for piece in pieces[1:]):
        return None
    body = pieces[0] + b"".join(bytes([piece[0] ^ FLIP]) + piece[1:] for piece in pieces[1:])
    count, rest = divmod(len(body) - 6, 4)
    if rest or not 0 <= count <= MOST_WORDS or zlib.crc32(body[:-4]) != struct.unpack("<I", body[-4:])[0]:
        return None
    sequence, kind, *words = struct.unpack(f"<BB{count}I", body[:-4])
    return Frame(sequence, kind, tuple(words))
