"""The protocol of a core and its drivers: words of packets, registers and errors. Needs Python alone."""

from __future__ import annotations

from enum import IntEnum

#: "IZHI" in ASCII, and the version of the register map.
IDENTITY, VERSION = 0x495A4849, 2
#: The last word of the answer to a malformed packet.
ABORTED = 0xF0000000


class _Described(IntEnum):
    """Numbers, each with an explanation in ``about``, which the register map of a core repeats."""

    about: str

    def __new__(cls, value: int, about: str = "") -> _Described:
        member = int.__new__(cls, value)
        member._value_ = value
        member.about = about
        return member


class Opcode(_Described):
    """The highest four bits of a packet's first word, and of every word of events."""

    SPIKE = 0, "a spike of the input in bits 0 to 23"
    STEP = 1, "the step is over"
    END = 2, "the inference is over, and with TLAST the packet"
    PAIR = (3, "two spikes of the input, in bits 0 to 13 and 14 to 27, for a core that adds two in a cycle")
    COUNT = (
        4,
        "several spikes of the input in bits 0 to 19, their number in bits 20 to 27, for a core whose inputs fire"
        " several times in a step",
    )
    WRITE = (
        8,
        "write to the memory in bits 0 to 7: then the first address, the number of memory words, and"
        " each of them in words of 32 bits, the lowest first",
    )


class Error(_Described):
    """Why a packet was discarded."""

    NONE = 0, "none"
    OPCODE = 1, "unknown opcode"
    SOURCE = 2, "an input that does not exist"
    MEMORY = 3, "a memory or address that does not exist, or a write within a packet of inferences"
    LAST = (4, "a packet that does not end with an inference, or a write of another length")
    STEPS = 5, "a wrong number of steps"
    COUNT = 6, "no spikes of an input, or more than the core takes at once"


class Register(_Described):
    """Byte addresses."""

    IDENTITY = 0x00, f"0x{IDENTITY:08X}"
    VERSION = 0x04, f"of this map: {VERSION}"
    CONTROL = 0x08, "see below"
    STATUS = 0x0C, "see below"
    STEPS = 0x10, "if not 0, an inference of another number of steps is an error"
    FINGERPRINT = 0x14, "of the shape of the core"
    CYCLES = 0x18, "clock cycles in which an inference was running"
    EVENTS = 0x1C, "input spikes accepted"
    SPIKES = 0x20, "spikes of all layers"
    INFERENCES = 0x24, "completed inferences"
    WORD = 0x28, "a write is a word of a packet, like a word of the stream"
    LAST_WORD = 0x2C, "a write is a packet's last word"


#: The registers that count.
COUNTERS = (Register.INFERENCES, Register.EVENTS, Register.SPIKES, Register.CYCLES)


class Status(_Described):
    """Lowest bits of the fields of the register STATUS."""

    BUSY = 0, "an inference is running"
    ANSWERING = 1, "words of an answer have not been fetched, or its end has not been sent"
    ERROR = 8, "bits 8 to 10, the error"


class Control(_Described):
    """Bits of the register CONTROL."""

    RUN = 0, "packets are accepted (set after reset)"
    CLEAR = (
        1,
        "discards everything in the core but its memories, and sets counters to 0; an answer that has begun is still"
        " fetched, as far as its words are offered, and ends early; reads 0",
    )
    SENDS_SPIKES = 2, "events of every layer are sent"
    ACKNOWLEDGE = 3, "clears the error; reads 0"
