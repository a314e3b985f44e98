"""izhi.h, the definitions of a core for drivers in C."""

from __future__ import annotations

from collections.abc import Iterator

from izhi.hardware.core.protocol import ABORTED, IDENTITY, VERSION, Control, Error, Opcode, Register, Status
from izhi.hardware.core.shape import CoreShape, ceil_div, fingerprint


def header(shape: CoreShape) -> str:
    """Registers, words of packets, and memories of a core, as #define of C."""
    lines = [
        "/* Izhi's core: byte addresses of registers, bits, words of packets, and memories; see registers.md. */",
        "#ifndef IZHI_H",
        "#define IZHI_H",
        "",
        *_defines(shape),
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def _defines(shape: CoreShape) -> Iterator[str]:
    def define(name: str, value: int, about: str = "") -> str:
        return f"#define IZHI_{name} 0x{value:X}u" + (f" /* {about} */" if about else "")

    yield define("IDENTITY", IDENTITY)
    yield define("VERSION", VERSION)
    yield define("FINGERPRINT", fingerprint(shape), "of this core")
    yield define("ABORTED", ABORTED, "the last word of an answer to a malformed packet")
    for kind, prefix in ((Register, "REG"), (Control, "CONTROL"), (Status, "STATUS"), (Error, "ERROR"), (Opcode, "OP")):
        for member in kind:
            yield define(f"{prefix}_{member.name}", member.value, member.about)
    yield define("OP_SHIFT", 28, "of the opcode in a word")
    yield define("INPUTS", shape.layers[0].inputs)
    yield define("LAYERS", len(shape.layers))
    yield define("SCORES", shape.scores)
    yield define("MOST_STEPS", shape.steps)
    yield define("MEMORIES", len(shape.memories))
    for number, (about, bits, words) in enumerate(shape.memories):
        yield define(f"MEMORY_{number}_BITS", bits, about)
        yield define(f"MEMORY_{number}_WORDS", words)
        yield define(f"MEMORY_{number}_CHUNKS", ceil_div(bits, 32), "words of 32 bits of each")
