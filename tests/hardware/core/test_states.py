"""Coverage: each state of every state machine in a core comes up in what it is checked with."""

import ctypes
import re

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")

from izhi.hardware import fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core import SimulatedCore, compile, shape_of, yosys
from izhi.hardware.core.axi import AxiCore
from izhi.hardware.core.compile import cpp_compiler
from izhi.hardware.core.protocol import ABORTED, Control, Error, Opcode, Register, Status
from izhi.hardware.devices.core import CoreDevice
from networks import convolutional_network, random_network, random_spikes

pytestmark = pytest.mark.slow

STEPS = 6
NETWORKS = {
    "convolutions, pools and delays": convolutional_network(3, delay=2),
    "recurrence and counts": random_network(1, kind="lif", recurrent=True, sizes=(6, 5, 3)),
}


def machines(text):
    """How many states each state machine of a netlist has, by the name of its register in C++."""
    found = {}
    for name, body in re.findall(r"^module \\izhi\.(\S+)$(.*?)^end$", text, re.MULTILINE | re.DOTALL):
        states = set()
        for indent, cases in re.findall(r"^( +)switch \\fsm_state.*?$(.*?)^\1end$", body, re.MULTILINE | re.DOTALL):
            states.update(re.findall(rf"^{indent}  case \d+'([01]+)", cases, re.MULTILINE))
        if states:
            mangled = name.replace("_", "__").replace(".", "_2e_").replace("$", "_24_")
            found[f"p_{mangled}_2e_fsm__state"] = len(states)
    return found


@pytest.mark.skipif(cpp_compiler() is None, reason="no C++ compiler is installed")
@pytest.mark.parametrize("name", NETWORKS)
def test_every_state_of_every_machine_comes_up(name):
    network = NETWORKS[name]
    shape = shape_of(network, STEPS, lanes=4, units=2)
    known = machines(yosys.rtlil_of(AxiCore(shape), "izhi"))
    assert len(known) >= 2 * len(network.layers)
    marks = " ".join(f"seen[{k}] |= 1u << top.{machine}.curr.get<uint32_t>();" for k, machine in enumerate(known))
    driver = compile.driver_of_core(marks, f"uint32_t seen[{len(known)}];")
    library = compile.compiled(f"states of {shape}", lambda: AxiCore(shape), driver)
    seen = (ctypes.c_uint32 * len(known)).in_dll(ctypes.CDLL(str(library)), "seen")
    device = CoreDevice("simulator", SimulatedCore(library, shape, pauses=(60, 60)), shape)
    device.load(IntegerArtifact(network, STEPS, ()))
    spikes = random_spikes(2, STEPS, 2, network.inputs)
    expected = fixed.run(network, spikes).scores
    assert np.array_equal(device.run(spikes).scores, expected)
    # Packets that end too early, in an inference and in a write.
    step, write = Opcode.STEP << 28, Opcode.WRITE << 28
    assert device.block.exchange(np.array([step, 15 << 28, step], np.uint32), 9)[-1] == ABORTED
    device.block.send(np.array([write, 0, 99999, 1, 1], np.uint32))
    assert device.block.read(Register.STATUS) >> Status.ERROR == Error.MEMORY
    device.block.write(Register.CONTROL, 1 << Control.RUN | 1 << Control.ACKNOWLEDGE)
    assert np.array_equal(device.run(spikes).scores, expected)
    pairs = zip(known.items(), seen, strict=True)
    assert [machine for (machine, count), mask in pairs if mask != (1 << count) - 1] == []
