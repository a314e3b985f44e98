"""The C of networks on microcontrollers that QEMU emulates: the golden samples come out right."""

import pytest
from emulated import MACHINES, TooLargeError, missing, run
from test_c_programs import NETWORKS, an_artifact, sample

from izhi.hardware import c

pytestmark = pytest.mark.slow


def outcome(folder, machine):
    """How many scores of the program of a folder are wrong, and how many instructions it took."""
    if tools := missing(machine):
        pytest.skip(f"{tools[0]} is not installed")
    return run(folder, machine)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", NETWORKS)
def test_golden_samples_are_right(name, machine, tmp_path):
    c.write(an_artifact(*sample(name)), tmp_path)
    wrong, instructions = outcome(tmp_path, machine)
    assert wrong == 0
    assert instructions > 1000


@pytest.mark.parametrize("machine", MACHINES)
def test_wrong_scores_are_counted(machine, tmp_path):
    made = an_artifact(*sample("izhikevich"))
    made.test_scores[0, 0] += 1
    made.test_scores[2, 1] -= 1
    c.write(made, tmp_path)
    assert outcome(tmp_path, machine)[0] == 2


@pytest.mark.parametrize("machine", MACHINES)
def test_a_program_without_room_says_so(machine, tmp_path):
    c.write(an_artifact(*sample("izhikevich")), tmp_path)
    (tmp_path / "network.c").write_text("char all[1 << 23]; char *used(void) { return all; }\n")
    if tools := missing(machine):
        pytest.skip(f"{tools[0]} is not installed")
    with pytest.raises(TooLargeError, match="RAM"):
        run(tmp_path, machine)


#: A check that is a loop of a million times two instructions.
LOOP = """
#include "golden.h"

int golden_check(void)
{
    register unsigned count __asm__(REGISTER) = 1000000;
    __asm__ volatile(TWO : "+r"(count) : : "cc");
    return 0;
}
"""


@pytest.mark.parametrize("machine", MACHINES)
def test_instructions_are_counted(machine, tmp_path):
    if machine.startswith("RV"):
        register, two = "a5", r"1: addi %0, %0, -1\n bnez %0, 1b"
    else:
        register, two = "r2", r".syntax unified\n1: subs %0, %0, #1\n bne 1b"
    (tmp_path / "network.c").touch()
    (tmp_path / "golden.h").write_text("int golden_check(void);\n")
    (tmp_path / "golden.c").write_text(LOOP.replace("REGISTER", f'"{register}"').replace("TWO", f'"{two}"'))
    assert outcome(tmp_path, machine) == (0, pytest.approx(2_000_000, rel=1e-3))
