"""The core in a system on chip: the files that ``izhi rtl --board soc`` writes, simulated as their texts say."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from networks import random_network, random_spikes

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")
pytest.importorskip("pythondata_cpu_picorv32", reason="the wheel pythondata-cpu-picorv32 is not installed")

import pythondata_cpu_picorv32 as pico

from izhi import cli
from izhi.hardware import artifact, fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core import bundle, shape_of, soc
from izhi.hardware.core.compile import cpp_compiler
from izhi.hardware.fixed import FixedPoint
from tiers import long_but

STEPS = 6
NETWORKS = {
    "pairs of spikes": (random_network(1, (12, 6, 4)), {"lanes": 2, "units": 2, "spikes": 2}),
    "recurrence and delays": (
        random_network(1, (6, 5, 3), recurrent=True, delay=3, synapse=FixedPoint(12, 8)),
        {"lanes": 2, "units": 1, "largest_input": 3},
    ),
    "membrane": (
        random_network(1, (6, 5, 3), readout=True, membrane=FixedPoint(16, 3), reads="last"), {"lanes": 2, "units": 1},
    ),
}  # fmt: skip
#: As the files' C is compiled, and no warning is accepted.
WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]
CROSS = "riscv64-unknown-elf-gcc"
needs_simulation = pytest.mark.skipif(
    not all(map(shutil.which, (CROSS, "iverilog", "make"))), reason=f"{CROSS}, iverilog or make is not installed"
)


def an_artifact(network, most=1):
    spikes = random_spikes(2, STEPS, 2, network.inputs, most=most)
    return IntegerArtifact(
        network, STEPS, tuple("abcd"[: network.outputs]), {}, {}, spikes, fixed.run(network, spikes).scores
    )


def write(folder, name):
    """Write the files of a network, and return the number of scores."""
    network, options = NETWORKS[name]
    made, shape = an_artifact(network, options.get("largest_input", 1)), shape_of(network, STEPS, **options)
    for file, text in {**bundle.common(shape), **bundle.sources(made, shape), **soc.sources(made, shape)}.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(text)
    return made.test_scores.size


def simulate(folder, *arguments):
    """What the example prints."""
    command = ["make", "-s", f"PICORV32={pico.data_location}/picorv32.v", *arguments]
    done = subprocess.run(command, cwd=folder / "soc", capture_output=True, text=True, check=True)
    assert "arning" not in (text := done.stdout + done.stderr).lower(), text
    return done.stdout


@needs_simulation
@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_processor_gets_the_scores_of_the_integer_model(name, tmp_path):
    count = write(tmp_path, name)
    assert re.search(rf"^PASS: {count} scores, [1-9]\d* cycles of inferences$", simulate(tmp_path), re.M)


@needs_simulation
@pytest.mark.slow
def test_the_example_fails_on_another_score(tmp_path):
    write(tmp_path, "membrane")
    header = tmp_path / "soc" / "izhi_network.h"
    text = header.read_text()
    first = re.search(r"izhi_scores\[2\]\[4\] = \{\n    \{(-?\d+)", text)
    header.write_text(text[: first.start(1)] + str(int(first[1]) + 1) + text[first.end(1) :])
    out = simulate(tmp_path)
    assert f"FAIL: sample 0, score 0 is {first[1]}, expected {int(first[1]) + 1}" in out
    assert "PASS" not in out


@needs_simulation
@pytest.mark.slow
def test_the_driver_reports_what_is_wrong_and_begins_anew(tmp_path):
    """Another core, a malformed packet, too many steps, half a packet that is given up, and then all is right."""
    count = write(tmp_path, "pairs of spikes")
    main = tmp_path / "soc" / "main.c"
    text = main.read_text()
    faults = """
    izhi_core core = CORE;
    uint32_t malformed[2] = {9u << IZHI_OP_SHIFT, 0};
    if (izhi_start((izhi_core)0x00000000) != IZHI_NO_CORE) { print("FAIL: memory is a core\\n"); return 1; }
    if (check("izhi_start", izhi_start(core))) return 1;
    print_number((int32_t)izhi_load(core, malformed, 2));
    print_number((int32_t)(izhi_read(core, IZHI_REG_STATUS) >> IZHI_STATUS_ERROR & 7u));
    if (check(" izhi_start", izhi_start(core))) return 1;
    print_number((int32_t)(izhi_read(core, IZHI_REG_STATUS) >> IZHI_STATUS_ERROR & 7u));
    izhi_write(core, IZHI_REG_STEPS, IZHI_STEPS - 1);
    print_number((int32_t)izhi_infer(core, izhi_spikes[0], IZHI_STEPS, scores));
    izhi_write(core, IZHI_REG_STEPS, 0);
    core[0x108 / 4] = 1;
    core[0x108 / 4] = 9u << IZHI_OP_SHIFT;
    print("\\n");
"""
    place = '    if (check("izhi_start", izhi_start(CORE))) return 1;\n'
    assert place in text
    main.write_text(text.replace(place, faults + place))
    first, last, *_ = simulate(tmp_path).splitlines()
    assert first == "2102"  # IZHI_MALFORMED, the error OPCODE, none, IZHI_MALFORMED
    assert last.startswith(f"PASS: {count} scores")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.parametrize("inputs", [{"spikes": 1}, {"spikes": 2}, {"largest_input": 255}])
def test_the_driver_and_the_example_compile_without_a_warning(inputs, tmp_path):
    network = random_network(1, (64, 8, 10))
    shape = shape_of(network, STEPS, lanes=4, units=2, **inputs)
    made = an_artifact(network)
    for file, text in {**bundle.common(shape), **soc.sources(made, shape)}.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    for file in ("izhi_driver.c", "soc/main.c"):
        command = ["gcc", *WARNINGS, "-Wno-int-to-pointer-cast", "-I.", "-Isoc", "-fsyntax-only", file]
        subprocess.run(command, cwd=tmp_path, check=True)


def test_the_header_of_a_network_holds_its_packets_samples_and_scores():
    network, options = NETWORKS["membrane"]
    made = an_artifact(network)
    written, spikes, scores = bundle.traffic(made, shape_of(network, STEPS, **options))
    text = soc.network(written, spikes, scores)
    for k, packet in enumerate(written):
        body = re.search(rf"izhi_packet_{k}\[{len(packet)}\] = \{{(.*?)\}};", text, re.S)[1]
        assert [int(word) for word in body.replace("\n", " ").split(",") if word.strip()] == packet.tolist()
    rows = re.search(r"izhi_spikes\[2\]\[36\] = \{\n(.*?)\n\};", text, re.S)[1].splitlines()
    found = np.array([[int(x) for x in row.strip(" {},").split(",")] for row in rows])
    assert np.array_equal(found.reshape(2, STEPS, 6).transpose(1, 0, 2), made.test_inputs)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not installed")
def test_the_bus_answers_as_its_text_says(tmp_path, monkeypatch):
    pytest.importorskip("cocotb", reason="cocotb is not installed")
    from cocotb_tools.runner import get_results, get_runner

    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here), str(here.parent)]))
    write(tmp_path, "pairs of spikes")
    where = {"hdl_toplevel": "izhi_wishbone", "build_dir": tmp_path / "build"}
    runner = get_runner("icarus")
    sources = [tmp_path / "izhi_wishbone.v", tmp_path / "izhi.v"]
    runner.build(sources=sources, timescale=("1ns", "1ps"), **where)
    results = runner.test(test_module="cocotb_wishbone", test_dir=tmp_path, **where)
    assert get_results(results) == (5, 0)


@pytest.mark.slow
@pytest.mark.parametrize("simulator", long_but(["icarus"], ["icarus", "verilator"]))
def test_users_run_the_bench_of_cocotb(simulator, tmp_path, monkeypatch):
    pytest.importorskip("cocotb", reason="cocotb is not installed")
    tool = {"icarus": "iverilog"}.get(simulator, simulator)
    if shutil.which(tool) is None or cpp_compiler() is None:
        pytest.skip(f"{tool} is not installed")
    write(tmp_path, "membrane")
    monkeypatch.setenv("SIM", simulator)
    monkeypatch.setenv("MAKEFLAGS", "OPT_FAST=-O0 OPT_GLOBAL=-O0")
    command = [sys.executable, "izhi_cocotb.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "TESTS=2 PASS=2 FAIL=0" in done.stdout
    answers = tmp_path / "izhi_tb_out.hex"
    first, *others = answers.read_text().split()
    answers.write_text("\n".join([f"{int(first, 16) ^ 1:08x}", *others]))
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not installed")
def test_litex_takes_the_core_as_a_peripheral(tmp_path, monkeypatch):
    """Its Verilog, with the core's, is elaborated, and the core has its place on the bus."""
    pytest.importorskip("litex", reason="litex is not installed")
    write(tmp_path, "membrane")
    program = """
import sys
from litex.build.generic_platform import Pins
from litex.build.lattice import LatticeECP5Platform
from litex.soc.integration.builder import Builder
from litex.soc.integration.soc import SoCRegion
from litex.soc.integration.soc_core import SoCMini
from migen import ClockDomain, ClockSignal, ResetSignal
from litex.gen import LiteXModule
from izhi_litex import Izhi

platform = LatticeECP5Platform("LFE5U-85F-6BG381C", [("clk", 0, Pins("G2")), ("rst", 0, Pins("R1"))])
class System(SoCMini):
    def __init__(self):
        super().__init__(platform, clk_freq=1e6, ident="", ident_version=False)
        self.cd_sys = ClockDomain()
        self.comb += self.cd_sys.clk.eq(platform.request("clk"))
        self.comb += self.cd_sys.rst.eq(platform.request("rst"))
        self.izhi = Izhi(platform, ".")
        self.bus.add_slave("izhi", self.izhi.bus, SoCRegion(origin=0x30000000, size=0x200, cached=False))

Builder(System(), output_dir="build", compile_software=False, csr_csv="csr.csv").build(run=False)
"""
    (tmp_path / "system.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = subprocess.run([sys.executable, "system.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"memory_region,izhi,0x30000000,512,", (tmp_path / "csr.csv").read_text())
    (top,) = (tmp_path / "build" / "gateware").glob("*.v")
    command = ["iverilog", "-g2012", "-s", top.stem, "-o", "top.vvp", str(top), "izhi_wishbone.v", "izhi.v"]
    subprocess.run(command, cwd=tmp_path, check=True)


@pytest.mark.slow
def test_izhi_rtl_writes_them(tmp_path, capsys):
    file, out = tmp_path / "x.izhi", tmp_path / "hw"
    network, _ = NETWORKS["membrane"]
    artifact.save(an_artifact(network), file)
    assert cli.main(["rtl", str(file), "--board", "soc", "--lanes", "2", "--out", str(out), "--samples", "0"]) == 0
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert names == {
        "izhi.v", "izhi_wishbone.v", "izhi.h", "izhi_driver.c", "izhi_driver.h", "izhi_litex.py", "core.json",
        "izhi_tb.v", "izhi_tb_in.hex", "izhi_tb_out.hex", "izhi_cocotb.py", "registers.md", "report.md",
        "report.json", "soc/Makefile", "soc/main.c", "soc/start.S", "soc/memory.ld", "soc/soc.v",
        "soc/izhi_network.h",
    }  # fmt: skip
    assert "resources.png" not in (out / "report.md").read_text()


@needs_simulation
@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("*(volatile uint32_t *)0x10000110 = 1;", "FAIL: the core refused an access to 0x10000110"),
        ('__asm__("unimp");', "FAIL: the processor stopped"),
    ],
)
def test_a_program_that_goes_wrong_ends(statement, message, tmp_path):
    write(tmp_path, "membrane")
    main = tmp_path / "soc" / "main.c"
    main.write_text(main.read_text().replace("    uint32_t k, class;\n", f"    uint32_t k, class;\n    {statement}\n"))
    assert message in simulate(tmp_path)
