"""The files of a core for a system on chip of one's own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.c.text import array
from izhi.hardware.core.boards import filled
from izhi.hardware.core.bundle import traffic
from izhi.hardware.core.packets import Words
from izhi.hardware.core.shape import CoreShape
from izhi.hardware.fixed.arithmetic import Integers

_FILES = (
    "izhi_wishbone.v", "izhi_driver.h", "izhi_driver.c", "izhi_litex.py",
    "soc/soc.v", "soc/main.c", "soc/start.S", "soc/memory.ld", "soc/Makefile",
)  # fmt: skip
#: Bytes of the example's memory for instructions and the stack, beside its arrays.
_PROGRAM = 16_384


def sources(artifact: IntegerArtifact, shape: CoreShape) -> dict[str, str]:
    """The core behind Wishbone, its driver in C, its module for LiteX, and an example on a simulated system on chip
    whose processor runs the network's samples: texts by the names of the files.

    Args:
        artifact: whose first test vectors are the samples; random ones if it has none.
        shape: of the core, which may be larger than the network.
    """
    written, spikes, scores = traffic(artifact, shape)
    needed = 4 * sum(map(len, written)) + spikes.size + 4 * scores.size + _PROGRAM
    memory = 1 << (needed - 1).bit_length()
    texts = {name: filled(f"system/{name}", words=memory // 4, bytes=memory) for name in _FILES}
    return {**texts, "soc/izhi_network.h": network(written, spikes, scores)}


def network(written: list[Words], spikes: NDArray[np.integer], scores: Integers) -> str:
    """A header of C: the packets that fill the core's memories, and samples with their scores."""
    steps, samples, inputs = spikes.shape
    rows = ", ".join(f"{{izhi_packet_{k}, {len(packet)}u}}" for k, packet in enumerate(written))
    return "\n".join(
        [
            "/* A network as packets for Izhi's core, and samples with the scores that it gives. */",
            "#ifndef IZHI_NETWORK_H\n#define IZHI_NETWORK_H\n\n#include <stdint.h>\n",
            *(array("uint32_t", f"izhi_packet_{k}", packet) for k, packet in enumerate(written)),
            f"#define IZHI_PACKETS {len(written)}u",
            "static const struct { const uint32_t *words; uint32_t count; } "
            f"izhi_packets[IZHI_PACKETS] = {{{rows}}};\n",
            f"#define IZHI_SAMPLES {samples}\n#define IZHI_STEPS {steps}",
            _table("uint8_t", "izhi_spikes", spikes.transpose(1, 0, 2).reshape(samples, steps * inputs)),
            _table("int32_t", "izhi_scores", scores),
            "#endif\n",
        ]
    )


def _table(kind: str, name: str, rows: NDArray[np.integer]) -> str:
    """A constant array of two dimensions."""
    lines = ",\n".join("    {" + ", ".join(map(str, row.tolist())) + "}" for row in rows)
    return f"static const {kind} {name}[{len(rows)}][{rows.shape[1]}] = {{\n{lines}\n}};\n"
