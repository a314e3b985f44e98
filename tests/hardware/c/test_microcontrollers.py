"""The C of networks on microcontrollers that QEMU emulates: the golden samples come out right."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from test_c_programs import NETWORKS, an_artifact, sample

from izhi.hardware import c

HERE = Path(__file__).parent
pytestmark = pytest.mark.slow


class Machine(NamedTuple):
    """A machine of QEMU: its command, the compiler for it, and where flash and RAM begin and how large they are."""

    command: str
    compiler: str
    flash: tuple[int, int]
    ram: tuple[int, int]


ARM, RISC_V = "arm-none-eabi-gcc -mthumb -mcpu=", "riscv64-unknown-elf-gcc -mabi=ilp32 -march="
MACHINES = {
    "Cortex-M4": Machine(
        "qemu-system-arm -M mps2-an386 -semihosting", f"{ARM}cortex-m4", (0, 1 << 20), (0x20000000, 1 << 18)
    ),
    "Cortex-M0": Machine(
        "qemu-system-arm -M microbit -semihosting", f"{ARM}cortex-m0", (0, 1 << 18), (0x20000000, 1 << 14)
    ),
    "RV32": Machine(
        "qemu-system-riscv32 -M virt -bios none", f"{RISC_V}rv32imac", (0x80000000, 1 << 20), (0x80100000, 1 << 18)
    ),
}  # fmt: skip


def outcome(folder, machine):
    """The status with which the program of a folder ends: how many scores are wrong."""
    command, compiler, flash, ram = MACHINES[machine]
    for tool in (command.split()[0], compiler.split()[0]):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    numbers = dict(zip(("FLASH_BEGIN", "FLASH_SIZE", "RAM_BEGIN", "RAM_SIZE"), (*flash, *ram), strict=True))
    script, program = folder / "bare_metal.ld", folder / "program.elf"
    script.write_text(re.sub("|".join(numbers), lambda x: hex(numbers[x[0]]), (HERE / script.name).read_text()))
    flags = ["-std=gnu99", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-ffreestanding", "-nostdlib"]
    sources = [folder / "network.c", folder / "golden.c", HERE / "bare_metal.c"]
    subprocess.run(
        [*compiler.split(), *flags, f"-I{folder}", *sources, "-T", script, "-o", program, "-lgcc"], check=True
    )
    return subprocess.run([*command.split(), "-nographic", "-kernel", program], timeout=120).returncode


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", NETWORKS)
def test_golden_samples_are_right(name, machine, tmp_path):
    c.write(an_artifact(*sample(name)), tmp_path)
    assert outcome(tmp_path, machine) == 0


@pytest.mark.parametrize("machine", MACHINES)
def test_wrong_scores_are_counted(machine, tmp_path):
    made = an_artifact(*sample("izhikevich"))
    made.test_scores[0, 0] += 1
    made.test_scores[2, 1] -= 1
    c.write(made, tmp_path)
    assert outcome(tmp_path, machine) == 2
