"""The C of networks on microcontrollers that QEMU emulates: the golden samples come out right."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from test_c_programs import NETWORKS, an_artifact, sample

from izhi.hardware import c

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
        reason="gcc-arm-none-eabi and qemu-system-arm are not installed",
    ),
]
#: Machine of QEMU, processor, bytes of flash and RAM.
MACHINES = {
    "Cortex-M4": ("mps2-an386", "cortex-m4", 1 << 20, 1 << 18),
    "Cortex-M0": ("microbit", "cortex-m0", 1 << 18, 1 << 14),
}


def built(folder, machine):
    """The program of a folder for a machine, and the bytes of its text and of its variables."""
    name, processor, flash, ram = MACHINES[machine]
    script = folder / "cortex_m.ld"
    sizes = {"FLASH_SIZE": flash, "RAM_SIZE": ram}
    script.write_text(re.sub("FLASH_SIZE|RAM_SIZE", lambda x: str(sizes[x[0]]), (HERE / script.name).read_text()))
    program = folder / "program.elf"
    flags = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-ffreestanding", "-nostdlib"]
    sources = [folder / "network.c", folder / "golden.c", HERE / "cortex_m.c"]
    command = ["arm-none-eabi-gcc", f"-mcpu={processor}", "-mthumb", *flags, f"-I{folder}", *sources, "-T", script]
    subprocess.run([*command, "-o", program, "-lgcc"], check=True)
    return ["qemu-system-arm", "-M", name, "-nographic", "-semihosting", "-kernel", program]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", NETWORKS)
def test_golden_samples_are_right(name, machine, tmp_path):
    network, spikes = sample(name)
    made = an_artifact(network, spikes)
    c.write(made, tmp_path)
    done = subprocess.run(built(tmp_path, machine), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_wrong_score_is_found(tmp_path):
    network, spikes = sample("izhikevich")
    made = an_artifact(network, spikes)
    made.test_scores[0, 0] += 1
    made.test_scores[2, 1] -= 1
    c.write(made, tmp_path)
    assert subprocess.run(built(tmp_path, "Cortex-M4"), capture_output=True, timeout=120).returncode == 2
