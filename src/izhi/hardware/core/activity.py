"""How often the registers of a core change, block by block, in simulation."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core.axi import AxiCore
from izhi.hardware.core.compile import compiled, driver_of_core
from izhi.hardware.core.shape import CoreShape
from izhi.hardware.core.simulated import SimulatedCore
from izhi.hardware.devices.core import CoreDevice

#: Registers in the C++ of a core.
_REGISTER = re.compile(r"^\twire<(\d+)> (p_\w+)(?: \{.*\})?;", re.MULTILINE)
#: Parts of a layer that are blocks of their own.
_PARTS = ("accumulator", "neurons", "queue", "serializer", "delay_line")
#: Where what does not belong to the core is counted: registers of the bus.
_BUS = "bus"


@dataclass(frozen=True)
class BlockActivity:
    """Of a block of the core.

    Attributes:
        block: such as "layer 1: neurons".
        bits: of its registers, among them those behind its memories.
        changes: of those bits, for each sample on average.
        rate: changes of a bit in a cycle, which vendors' tools call its toggle rate: the bits that toggle in a cycle,
            of all.
    """

    block: str
    bits: int
    changes: float
    rate: float


def activity(artifact: IntegerArtifact, shape: CoreShape, spikes: NDArray[np.uint8]) -> list[BlockActivity]:
    """How often each block's registers change while samples of spikes (T, batch, inputs) run, the network being there.

    Changes are those from one clock edge to the next; glitches of the logic between registers are not among them.
    """
    registers, cycles = changes(artifact, shape, spikes)
    total: dict[str, tuple[int, int]] = {}
    for name, (bits, times) in registers.items():
        before = total.get(_block(name), (0, 0))
        total[_block(name)] = before[0] + bits, before[1] + times
    samples = spikes.shape[1]
    return [BlockActivity(block, b, n / samples, n / (b * cycles)) for block, (b, n) in sorted(total.items())]


def changes(
    artifact: IntegerArtifact, shape: CoreShape, spikes: NDArray[np.uint8]
) -> tuple[dict[str, tuple[int, int]], int]:
    """Bits of each register, and how often they changed, by the register's name; and the cycles of all samples."""
    library = compiled(f"activity of {shape}", lambda: AxiCore(shape), _driver)
    found = ctypes.CDLL(str(library))
    count = ctypes.c_size_t.in_dll(found, "register_count").value
    names = (ctypes.c_char_p * count).in_dll(found, "register_names")
    bits = (ctypes.c_uint32 * count).in_dll(found, "register_bits")
    counted = (ctypes.c_uint64 * count).in_dll(found, "changes")
    core = SimulatedCore(library, shape)
    device = CoreDevice("simulator", core, shape)
    device.load(artifact)
    before, cycles = list(counted), core.cycles
    device.run(spikes)
    registers = {
        ".".join(_path(name.decode())): (width, now - then)
        for name, width, now, then in zip(names, bits, counted, before, strict=True)
    }
    return registers, core.cycles - cycles


def _driver(core: str) -> str:
    """The driver of a core that counts, in each cycle, the bits of each register that are about to change."""
    registers = list(dict.fromkeys((name, int(width)) for width, name in _REGISTER.findall(core)))
    counts = " ".join(
        f"changes[{k}] += top.{name}.curr.bit_xor(top.{name}.next).ctpop();" for k, (name, _) in enumerate(registers)
    )
    names, bits = ", ".join(f'"{name}"' for name, _ in registers), ", ".join(str(width) for _, width in registers)
    size = max(1, len(registers))
    declared = (
        f"extern const size_t register_count = {len(registers)}; const char *register_names[{size}] = {{{names}}};"
        f" uint32_t register_bits[{size}] = {{{bits}}}; uint64_t changes[{size}];"
    )
    return driver_of_core(counts, declared)


def _path(name: str) -> Iterator[str]:
    """The parts of a register's name, from that in C++, where _2e_ is a dot and __ an underscore."""
    for part in name.removeprefix("p_").split("_2e_"):
        yield part.replace("__", "_")


def _block(name: str) -> str:
    """The block of a register."""
    path = name.split(".")
    if path[0] != "core" or len(path) == 1:
        return _BUS
    layer = re.fullmatch(r"layer_(\d+)", path[1])
    if layer is None:
        return path[1] if path[1] in ("decoder", "scores") else "streams"
    where = f"layer {int(layer[1]) + 1}"
    return f"{where}: {path[2].replace('_', ' ')}" if path[2] in _PARTS else where


__all__ = ["BlockActivity", "activity", "changes"]
