"""Toggle rates of the registers of a core, block by block, in simulation."""

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
#: Blocks within a layer.
_BLOCKS = ("accumulator", "neurons", "queue", "serializer", "delay_line")
#: The block of registers outside the core.
_BUS = "bus"


@dataclass(frozen=True)
class BlockActivity:
    """Toggle rate of a block of the core.

    Attributes:
        block: such as "layer 1: neurons".
        bits: of its registers, with those behind its memories.
        changes: of those bits, per sample on average.
        rate: toggle rate, the changes of a bit per cycle.
    """

    block: str
    bits: int
    changes: float
    rate: float


def activity(artifact: IntegerArtifact, shape: CoreShape, spikes: NDArray[np.uint8]) -> list[BlockActivity]:
    """Toggle rates of each block's registers for samples of spikes (T, batch, inputs), without loading the network.

    Changes are counted from one clock edge to the next, without glitches of the logic between registers.
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
    """Bits and changes of each register, by its name; and the cycles of all samples."""
    library = compiled(f"activity of {shape}", lambda: AxiCore(shape), _driver)
    symbols = ctypes.CDLL(str(library))
    count = ctypes.c_size_t.in_dll(symbols, "register_count").value
    names = (ctypes.c_char_p * count).in_dll(symbols, "register_names")
    bits = (ctypes.c_uint32 * count).in_dll(symbols, "register_bits")
    counted = (ctypes.c_uint64 * count).in_dll(symbols, "changes")
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
    """The driver of a core that counts in each cycle the bits of each register that change next."""
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
    """A register's name split at dots, from that in C++, where _2e_ is a dot and __ an underscore."""
    for word in name.removeprefix("p_").split("_2e_"):
        yield word.replace("__", "_")


def _block(name: str) -> str:
    """The block of a register."""
    path = name.split(".")
    if path[0] != "core" or len(path) == 1:
        return _BUS
    layer = re.fullmatch(r"layer_(\d+)", path[1])
    if layer is None:
        return path[1] if path[1] in ("decoder", "scores") else "streams"
    where = f"layer {int(layer[1]) + 1}"
    return f"{where}: {path[2].replace('_', ' ')}" if path[2] in _BLOCKS else where
