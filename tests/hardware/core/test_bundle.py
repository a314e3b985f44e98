"""Files for boards: Verilog, the Vivado script, the register map and the report."""

import json
import re

import numpy as np
import pytest

from networks import random_network, random_spikes

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")

from izhi import cli
from izhi.hardware import artifact, fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core import packets, shape_of
from izhi.hardware.core import shape as shapes
from izhi.hardware.core.boards import BOARDS, vivado_script
from izhi.hardware.core.shape import fingerprint

STEPS = 20


def an_artifact(steps=STEPS):
    """Of a network that a test of the core has compiled as well."""
    network, spikes = random_network(1), random_spikes(2, steps, 3, 12)
    scores = fixed.run(network, spikes).scores
    classes = tuple(map(str, range(5)))
    return IntegerArtifact(network, steps, classes, {"dataset": "digits"}, {}, spikes, scores)


def test_the_memories_of_a_shape_are_those_that_are_written():
    network = random_network(1, readout=True, recurrent=True)
    shape = shape_of(network, STEPS, lanes=4, units=2)
    for words, (_, bits, count) in zip(packets.memories(shape, network), shape.memories, strict=True):
        assert words.shape == (count, -(-bits // 32))


def test_weights_and_constants_are_packed_from_the_lowest_bit():
    network = random_network(1, bits=4)
    shape = shape_of(network, STEPS, lanes=4, units=2)
    weights, constants, *_ = packets.memories(shape, network)
    layer, first = network.layers[0], shape.layers[0]
    # Source 7, group 1: neurons 4 to 7.
    word = int(weights[7 * first.groups + 1, 0])
    assert [(word >> 4 * k) & 15 for k in range(4)] == [int(w) & 15 for w in layer.weight[4:8, 7]]
    # Update 2 holds neurons 4 and 5; the multiplier stands lowest.
    whole = sum(int(chunk) << 32 * k for k, chunk in enumerate(constants[2]))
    bits = sum(first.constants)
    for neuron in (0, 1):
        found = (whole >> neuron * bits) & ((1 << first.constants[0]) - 1)
        assert found == layer.multiplier[4 + neuron]


def test_an_inference_as_a_packet():
    spikes = np.zeros((2, 2, 3), np.uint8)
    spikes[0, 0, 2], spikes[1, 0, 1], spikes[1, 1, 0] = 1, 2, 1
    step, end = 1 << 28, 2 << 28
    assert packets.inferences(spikes).tolist() == [2, step, 1, 1, step, end, step, 0, step, end]


@pytest.mark.parametrize("name", BOARDS)
def test_the_vivado_script_runs_through(name):
    """Against stand-ins for Vivado's commands: every bracket closes, every name is set, pins are of blocks."""
    tkinter = pytest.importorskip("tkinter", reason="this Python has no Tcl")
    tcl = tkinter.Tcl()
    script = vivado_script(name)
    assert tcl.eval(f"info complete {{{script}}}") == "1"
    assert "untested" in script
    tcl.eval("set calls {}; set blocks {}")
    for command in [
        "create_project",
        "add_files",
        "update_compile_order",
        "create_bd_design",
        "set_property",
        "connect_bd_net",
        "connect_bd_intf_net",
        "assign_bd_address",
        "validate_bd_design",
        "save_bd_design",
        "make_wrapper",
        "get_files",
        "current_fileset",
        "launch_runs",
        "wait_on_run",
        "get_runs",
        "get_bd_pins",
        "get_bd_intf_pins",
    ]:
        tcl.eval(f"proc {command} args {{ lappend ::calls [list {command} $args]; return [lindex $args 0] }}")
    tcl.eval("proc create_bd_cell args { lappend ::blocks [lindex $args end]; return [lindex $args end] }")
    tcl.eval("proc get_property args { return 100% }")
    tcl.eval("rename file _file; proc file args { if {[lindex $args 0] eq {copy}} return; _file {*}$args }")
    tcl.eval("proc glob args { return x }")
    tcl.eval(script)
    blocks = set(tcl.eval("set blocks").split())
    pins = tcl.eval(
        "set pins {}; foreach call $calls { if {[string match get_bd_*pins [lindex $call 0]]}"
        " { lappend pins {*}[lindex $call 1] } }; set pins"
    ).split()
    assert {pin.split("/")[0] for pin in pins} <= blocks
    ports = {"aclk", "aresetn", "s_axi", "s_axis", "m_axis"}
    assert {pin.split("/")[1] for pin in pins if pin.startswith("izhi/")} == ports


@pytest.mark.slow
def test_izhi_rtl(tmp_path, capsys):
    file = tmp_path / "x.izhi"
    artifact.save(an_artifact(), file)
    out = tmp_path / "hw"
    command = [
        "rtl",
        str(file),
        "--board",
        "pynq-z2",
        "--out",
        str(out),
        "--lanes",
        "4",
        "--samples",
        "0",
    ]
    assert cli.main([*command, "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert found == json.loads((out / "report.json").read_text())
    assert found["part"] == "xc7z020clg400-1"
    assert 2 <= found["resources"]["DSP"] <= 60
    assert 200 < found["resources"]["LUT"] < 20_000
    verilog = (out / "izhi.v").read_text()
    assert "module izhi (" in verilog
    assert "untested" in verilog.splitlines()[0]
    shape = shape_of(an_artifact().network, STEPS, lanes=4, units=2)
    assert shapes.read(out / "core.json") == shape
    registers = re.sub(" +", " ", (out / "registers.md").read_text())
    assert f"0x{fingerprint(shape):08X}" in registers
    assert "| 0 | weights of layer 1 | 16 | 36 |" in registers
    assert (out / "resources.png").read_bytes().startswith(b"\x89PNG")
    assert "Untested: written without Vivado" in (out / "report.md").read_text()
    capsys.readouterr()
    for option, message in (
        (["--board", "pynq"], "unknown board 'pynq' (did you mean 'pynq-z2'?)"),
        (["--units", "3"], "expected units that divide lanes"),
    ):
        wrong = tmp_path / "wrong"
        assert cli.main([*command, *option, "--out", str(wrong)]) == 2
        assert message in capsys.readouterr().err
        assert not wrong.exists()
