"""Files for boards: Verilog, the Vivado script, the register map and the report."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from networks import random_network, random_spikes

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")

from izhi import cli
from izhi.errors import SettingError
from izhi.experiments.core_report import register_map
from izhi.hardware import artifact, fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core import description, packets, shape_of
from izhi.hardware.core.axi import AxiCore
from izhi.hardware.core.boards import BOARDS, checked_clock, vivado_script
from izhi.hardware.core.bundle import header
from izhi.hardware.core.protocol import IDENTITY, Control, Error, Opcode, Register, Status
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
    step, end, twice = 1 << 28, 2 << 28, 4 << 28 | 2 << 20
    assert packets.inferences(spikes).tolist() == [2, step, twice | 1, step, end, step, 0, step, end]


def test_two_spikes_of_a_step_are_a_word():
    spikes = np.zeros((2, 2, 9), np.uint8)
    for t, sample, inputs in ((0, 0, [2, 5, 8]), (1, 0, [1, 3]), (0, 1, [0]), (1, 1, [4, 6, 7])):
        spikes[t, sample, inputs] = 1
    step, end, pair = 1 << 28, 2 << 28, 3 << 28
    expected = [pair | 2 | 5 << 14, 8, step, pair | 1 | 3 << 14, step, end, 0, step, pair | 4 | 6 << 14, 7, step, end]
    assert packets.inferences(spikes, 2).tolist() == expected
    nothing = np.zeros((2, 1, 3), np.uint8)
    assert packets.inferences(nothing, 2).tolist() == [step, step, end]


#: Vivado's commands that return nothing of interest.
COMMANDS = (
    "create_project", "add_files", "update_compile_order", "create_bd_design", "set_property", "connect_bd_net",
    "connect_bd_intf_net", "assign_bd_address", "validate_bd_design", "save_bd_design", "make_wrapper", "get_files",
    "current_fileset", "launch_runs", "wait_on_run", "get_runs", "get_bd_pins", "get_bd_intf_pins", "get_board_parts",
    "current_project", "apply_bd_automation", "open_run", "report_timing_summary", "report_utilization",
    "report_power", "write_hw_platform",
)  # fmt: skip


def vivado(folder, name, *, megahertz=None, slack=0.5, hold=0.1, has_board=True, kept="gen"):
    """Tcl that ran the script in a folder against stand-ins for Vivado's commands."""
    tkinter = pytest.importorskip("tkinter", reason="this Python has no Tcl")
    tcl = tkinter.Tcl()
    script = vivado_script(name, megahertz)
    assert tcl.eval(f"info complete {{{script}}}") == "1"
    assert "untested" in script
    tcl.eval("set calls {}; set blocks {}; proc puts args {}")
    for command in COMMANDS:
        tcl.eval(f"proc {command} args {{ lappend ::calls [list {command} $args]; return [lindex $args 0] }}")
    tcl.eval("proc create_bd_cell args { lappend ::blocks [lindex $args end]; return [lindex $args end] }")
    if not has_board:
        tcl.eval("proc get_board_parts args { return {} }")
    answers = f"PROGRESS 100% STATS.WNS {slack} STATS.WHS {hold}"
    tcl.eval(f"proc get_property {{what of}} {{ return [dict get {{{answers}}} $what] }}")
    made = folder / "vivado"
    for file in ("izhi.runs/impl_1/izhi_wrapper.bit", f"izhi.{kept}/sources_1/bd/izhi/hw_handoff/izhi.hwh"):
        (made / file).parent.mkdir(parents=True)
        (made / file).write_text(file)
    (folder / "izhi.tcl").write_text(script)
    tcl.call("source", str(folder / "izhi.tcl"))
    return tcl


def calls_of(tcl, command):
    """The arguments of each call of one of Vivado's commands."""
    calls = [tcl.splitlist(call) for call in tcl.splitlist(tcl.eval("set calls"))]
    return [tcl.splitlist(arguments) for name, arguments in calls if name == command]


@pytest.mark.parametrize("name", BOARDS)
def test_the_vivado_script_runs_through(tmp_path, name):
    """Against stand-ins for Vivado's commands: every bracket closes, every name is set, pins are of blocks."""
    tcl = vivado(tmp_path, name)
    blocks = set(tcl.eval("set blocks").split())
    pins = [pin for kind in ("get_bd_pins", "get_bd_intf_pins") for (pin,) in calls_of(tcl, kind)]
    assert {pin.split("/")[0] for pin in pins} <= blocks
    ports = {"aclk", "aresetn", "s_axi", "s_axis", "m_axis"}
    assert {pin.split("/")[1] for pin in pins if pin.startswith("izhi/")} == ports


@pytest.mark.parametrize("name", BOARDS)
@pytest.mark.parametrize(("folder", "kept"), [("hw", "srcs"), ("my new {board}; [x] $y", "gen")])
def test_the_vivado_script_copies_what_was_made_whatever_its_folder_is_called(tmp_path, name, folder, kept):
    place = tmp_path / folder
    place.mkdir()
    tcl = vivado(place, name, kept=kept)
    assert (place / "izhi.bit").read_text() == "izhi.runs/impl_1/izhi_wrapper.bit"
    assert (place / "izhi.hwh").read_text().endswith("izhi.hwh")
    ((*_, files),) = calls_of(tcl, "add_files")
    assert tcl.splitlist(files) == (str(place / "izhi.v"),)
    for command, file in (
        ("report_timing_summary", "timing.rpt"), ("report_utilization", "utilization.rpt"),
        ("report_power", "power.rpt"), ("write_hw_platform", "izhi.xsa"),
    ):  # fmt: skip
        ((*_, written),) = calls_of(tcl, command)
        assert written == str(place / file)


@pytest.mark.parametrize(("setup", "hold", "what"), [(-0.2, 0.1, "setup is -0.2"), (0.3, -0.01, "hold is -0.01")])
def test_the_vivado_script_fails_where_timing_is_not_met(tmp_path, setup, hold, what):
    tkinter = pytest.importorskip("tkinter", reason="this Python has no Tcl")
    with pytest.raises(tkinter.TclError, match=f"timing is not met: the worst slack of {what} ns; see timing.rpt"):
        vivado(tmp_path, "pynq-z2", slack=setup, hold=hold)
    assert not (tmp_path / "izhi.bit").exists()


@pytest.mark.parametrize(("name", "external"), [("pynq-z2", True), ("ultra96v2", False), ("zcu104", False)])
@pytest.mark.parametrize("has_board", [False, True])
def test_the_vivado_script_sets_board_and_clock(tmp_path, name, external, has_board):
    tcl = vivado(tmp_path, name, megahertz=150, has_board=has_board)
    ((*_, options, cell),) = calls_of(tcl, "apply_bd_automation")
    words = tcl.splitlist(options)
    found = dict(zip(words[::2], words[1::2], strict=True))
    assert cell == "ps"
    assert found["apply_board_preset"] == str(int(has_board))
    assert (found.get("make_external") == "FIXED_IO, DDR") == external
    properties = calls_of(tcl, "set_property")
    parts = [arguments[1] for arguments in properties if arguments[0] == "board_part"]
    assert len(parts) == has_board
    ((_, table, _),) = [arguments for arguments in properties if arguments[0] == "-dict" and arguments[-1] == "ps"]
    words = tcl.splitlist(table)
    settings = dict(zip(words[::2], words[1::2], strict=True))
    assert [value for key, value in settings.items() if "FREQMHZ" in key] == ["150"]


def test_the_page_of_boards_names_every_port():
    shape = shape_of(random_network(1), STEPS, lanes=4, units=2)
    text = (Path(__file__).parents[3] / "docs" / "boards.md").read_text()
    rows = re.findall(r"^\| (`[\w`, ]+`) \| (\d+) \|", text[text.index("**Ports of the module") :], re.M)
    documented = {port: int(bits) for ports, bits in rows for port in re.findall(r"\w+", ports)}
    core = AxiCore(shape)
    assert documented == {name: len(getattr(core, name)) for name in core.signature.members}


def test_clocks_that_no_board_has_are_refused():
    assert checked_clock("zcu104", None) == 100
    for clock in (0, -1, 501):
        with pytest.raises(SettingError, match=f"clock is {clock} MHz, expected 1 to 500"):
            checked_clock("zcu104", clock)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_the_header_compiles_and_gives_the_numbers_of_the_register_map(tmp_path):
    network = random_network(1, readout=True)
    shape = shape_of(network, STEPS, lanes=4, units=2)
    (tmp_path / "izhi.h").write_text(header(shape))
    expected = {"IDENTITY": IDENTITY, "FINGERPRINT": fingerprint(shape), "INPUTS": 12, "SCORES": 4, "MEMORIES": 6}
    for kind, prefix in ((Register, "REG"), (Control, "CONTROL"), (Status, "STATUS"), (Error, "ERROR"), (Opcode, "OP")):
        expected.update({f"{prefix}_{member.name}": int(member) for member in kind})
    for number, (_, bits, words) in enumerate(shape.memories):
        expected.update({f"MEMORY_{number}_BITS": bits, f"MEMORY_{number}_WORDS": words})
    prints = "".join(f'printf("%s %lu\\n", "{name}", (unsigned long)IZHI_{name});' for name in expected)
    program = f'#include <stdio.h>\n#include "izhi.h"\n#include "izhi.h"\nint main(void) {{ {prints} return 0; }}\n'
    (tmp_path / "main.c").write_text(program)
    build = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "main.c", "-o", "main"]
    subprocess.run(build, cwd=tmp_path, check=True)
    out = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout
    assert {name: int(value) for name, value in (line.split() for line in out.splitlines())} == expected


def test_memories_can_be_written_from_the_register_map_alone():
    """Words made up as registers.md says are those that the driver writes."""
    network = random_network(1, recurrent=True, readout=True)
    shape = shape_of(network, STEPS, lanes=4, units=2)
    text = re.sub(" +", " ", register_map(shape))
    weights, constants = packets.memories(shape, network)[:2]
    s, layer = shape.layers[0], network.layers[0]
    assert f"word `source · {s.groups} + group`, and behind the 12 inputs the layer's own neurons" in text
    whole = np.hstack([layer.weight, layer.feedback])
    for source, group in ((0, 0), (5, 1), (12, 2), (20, 1)):
        neurons = range(group * s.lanes, min(s.outputs, (group + 1) * s.lanes))
        bits = [(int(whole[j, source]) & 15) << 4 * k for k, j in enumerate(neurons)]
        assert int(weights[source * s.groups + group, 0]) == sum(bits)
    section = text[text.index("- Memory 1, ") : text.index("- Memory 2, ")]
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \|$", section, re.M)
    assert [name for name, _, _ in rows] == list(s.names)
    of_neuron = int(re.search(r"of\s+(\d+) bits each", section)[1])
    values = {"multiplier": layer.multiplier, **layer.neuron.values}
    for number in (0, 3):
        word = sum(
            (int(values[name][2 * number + unit]) & ((1 << int(bits)) - 1)) << (unit * of_neuron + int(at))
            for unit in range(2)
            for name, at, bits in rows
        )
        assert word == sum(int(chunk) << 32 * k for k, chunk in enumerate(constants[number]))


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
    assert 3 <= found["levels"] <= 20
    verilog = (out / "izhi.v").read_text()
    assert "module izhi (" in verilog
    assert "\\" not in verilog  # names that a person types
    assert "untested" in verilog.splitlines()[0]
    assert found["megahertz"] == 100
    assert {"izhi.h", "izhi_tb.v", "izhi_tb_in.hex", "izhi_tb_out.hex"} <= {file.name for file in out.iterdir()}
    shape = shape_of(an_artifact().network, STEPS, lanes=4, units=2, spikes=2)
    assert description.read(out / "core.json") == shape
    registers = re.sub(" +", " ", (out / "registers.md").read_text())
    assert f"0x{fingerprint(shape):08X}" in registers
    assert "| 0 | weights of layer 1 | 16 | 36 |" in registers
    assert (out / "resources.png").read_bytes().startswith(b"\x89PNG")
    assert "Untested: written without Vivado" in (out / "report.md").read_text()
    capsys.readouterr()
    for option, message in (
        (["--board", "pynq"], "unknown board 'pynq' (did you mean 'pynq-z2'?)"),
        (["--units", "3"], "expected units that divide lanes"),
        (["--clock", "0"], "clock is 0 MHz, expected 1 to 500"),
    ):
        wrong = tmp_path / "wrong"
        assert cli.main([*command, *option, "--out", str(wrong)]) == 2
        assert message in capsys.readouterr().err
        assert not wrong.exists()
