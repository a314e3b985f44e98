"""Networks as programs on machines that are emulated: microcontrollers by QEMU, WebAssembly by wasmtime."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np

HERE = Path(__file__).parent


class Machine(NamedTuple):
    """A machine of QEMU.

    Attributes:
        command, compiler: for it.
        flash, ram: where they begin, and how large they are.
        megahertz: of the timer that counts its instructions; 0 for a machine that counts them itself.
    """

    command: str
    compiler: str
    flash: tuple[int, int]
    ram: tuple[int, int]
    megahertz: int = 0


ARM, RISC_V = "arm-none-eabi-gcc -mthumb -mcpu=", "riscv64-unknown-elf-gcc -mabi=ilp32 -march="
MACHINES = {
    "Cortex-M4": Machine(
        "qemu-system-arm -M mps2-an386 -semihosting", f"{ARM}cortex-m4", (0, 1 << 22), (0x20000000, 1 << 22), 25
    ),
    "Cortex-M0": Machine(
        "qemu-system-arm -M microbit -semihosting", f"{ARM}cortex-m0", (0, 1 << 18), (0x20000000, 1 << 14), 16
    ),
    "RV32": Machine(
        "qemu-system-riscv32 -M virt -bios none", f"{RISC_V}rv32imac_zicsr", (0x80000000, 1 << 23),
        (0x80800000, 1 << 23),
    ),
}  # fmt: skip


class TooLargeError(Exception):
    """A program has no room in a machine's flash or RAM."""


def missing(machine: str) -> list[str]:
    """The tools that a machine needs and that are not installed."""
    tools = (x.split()[0] for x in MACHINES[machine][:2])
    return [tool for tool in tools if shutil.which(tool) is None]


def run(folder: Path, machine: str, seconds: float = 120) -> tuple[int, int]:
    """What the program of a folder, as ``izhi.hardware.c.write`` wrote it, says on a machine.

    Returns:
        How many scores are wrong, and how many instructions the golden samples took.

    Raises:
        TooLargeError: if the machine has no room for it.
    """
    own = MACHINES[machine]
    places = dict(zip(("FLASH_BEGIN", "FLASH_SIZE", "RAM_BEGIN", "RAM_SIZE"), (*own.flash, *own.ram), strict=True))
    script, program = folder / "bare_metal.ld", folder / "program.elf"
    script.write_text(re.sub("|".join(places), lambda x: hex(places[x[0]]), (HERE / script.name).read_text()))
    flags = ["-std=gnu99", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-ffreestanding", "-nostdlib"]
    sources = [folder / "network.c", folder / "golden.c", HERE / "bare_metal.c"]
    made = subprocess.run(
        [*own.compiler.split(), *flags, f"-DMEGAHERTZ={own.megahertz}", f"-I{folder}", *sources, "-T", script, "-o",
         program, "-lgcc"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    if "will not fit in region" in made.stderr:
        raise TooLargeError(made.stderr)
    assert made.returncode == 0, made.stderr
    counting = ["-icount", "shift=0,sleep=off", "-nographic", "-kernel", str(program)]
    done = subprocess.run(  # what an ARM says comes as an error
        [*own.command.split(), *counting], timeout=seconds, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=True,
    )  # fmt: skip
    wrong, instructions = map(int, done.stdout.split())
    return wrong, instructions


class Module:
    """A network in wasmtime, called as network.js calls it."""

    def __init__(self, code: bytes) -> None:
        import wasmtime  # others of this file do without

        self.store = wasmtime.Store()
        self.exports = wasmtime.Instance(self.store, wasmtime.Module(self.store.engine, code), []).exports(self.store)
        self.memory = self.exports["memory"]

    def __getattr__(self, name):
        return lambda *words: self.exports[f"izhi_{name}"](self.store, *words)

    def numbers(self, address, kind, count):
        size = np.dtype(kind).itemsize * count
        return np.frombuffer(bytes(self.memory.read(self.store, address, address + size)), kind)

    def run(self, network, bits, inputs, shows_states=True):
        """Scores (classes,), and of each layer spikes (T, N) and, if they are shown, states (T, states, N)."""
        self.reset()
        spikes, states = [[] for _ in network.layers], [[] for _ in network.layers]
        for x in inputs:
            self.memory.write(self.store, x.astype(np.uint8).tobytes(), self.input())
            self.advance()
            for k, layer in enumerate(network.layers):
                assert self.neurons(k) == layer.outputs
                spikes[k].append(self.numbers(self.spikes(k), np.uint8, layer.outputs))
                count = len(layer.neuron.states()) if shows_states else 0
                states[k].append([[self.state(k, j, one) for j in range(layer.outputs)] for one in range(count)])
                if shows_states:
                    assert states[k][-1][0] == [self.membrane(k, j) for j in range(layer.outputs)]
        scores = self.numbers(self.scores(), f"int{bits}", network.outputs)
        assert self.exports["izhi_class"](self.store) == int(np.argmax(scores))
        return scores, [np.array(x) for x in spikes], [np.array(x) for x in states]
