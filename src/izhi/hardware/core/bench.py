"""A self-checking test bench in Verilog: it loads a network, runs samples, and compares the scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core import packets
from izhi.hardware.core.fit import fitted
from izhi.hardware.core.shape import CoreShape
from izhi.hardware.fixed import run

#: Samples of the test bench.
_SAMPLES = 2


def bench(artifact: IntegerArtifact, shape: CoreShape) -> dict[str, str]:
    """The test bench and its words, by the names of the files: izhi_tb.v, izhi_tb_in.hex, izhi_tb_out.hex.

    It ends with PASS, or with FAIL and the differences.

    Args:
        artifact: whose test vectors run; random samples if it has none.
        shape: of the core, which may be larger than the network.
    """
    network = fitted(shape, artifact.network, artifact.steps)
    spikes = _samples(artifact, shape)
    sent = [packets.write(number, words) for number, words in enumerate(packets.memories(shape, network))]
    sent.append(packets.inferences(spikes, shape.layers[0].spikes))
    scores = run(network, spikes).scores.astype(np.int32).reshape(-1).view(np.uint32)
    words = [f"{word | (k == len(packet) - 1) << 32:09x}" for packet in sent for k, word in enumerate(packet.tolist())]
    answers = [f"{word:08x}" for word in scores.tolist()]
    return {
        "izhi_tb.v": _text(len(words), len(answers)),
        "izhi_tb_in.hex": "\n".join(words) + "\n",
        "izhi_tb_out.hex": "\n".join(answers) + "\n",
    }


def _samples(artifact: IntegerArtifact, shape: CoreShape) -> NDArray[np.integer]:
    """Spikes (T, samples, inputs) of the core's inputs."""
    inputs = artifact.network.inputs
    spikes: NDArray[np.integer] = artifact.test_inputs[:, :_SAMPLES]
    if not spikes.size:
        spikes = np.random.default_rng(0).integers(0, 2, (artifact.steps, _SAMPLES, inputs))
    held = np.minimum(spikes, shape.layers[0].largest_input)
    return np.pad(held, ((0, 0), (0, 0), (0, shape.layers[0].inputs - inputs)))


def _text(words: int, answers: int) -> str:
    return f"""\
// Checks izhi.v against the integer model: it ends with PASS or FAIL. Words of packets, with TLAST as bit 32, are in
// izhi_tb_in.hex, the scores in izhi_tb_out.hex, both in the folder that the simulator runs in.
`timescale 1ns / 1ps
module izhi_tb;
    reg aclk = 0, aresetn = 0;
    reg [32:0] in [0:{words - 1}];
    reg [31:0] expected [0:{answers - 1}];
    integer sent = 0, received = 0, wrong = 0, still = 0;
    wire [31:0] out;
    wire takes, gives, ends;

    izhi core (
        .aclk(aclk), .aresetn(aresetn),
        .s_axis_tdata(in[sent][31:0]), .s_axis_tlast(in[sent][32]), .s_axis_tkeep(4'hF),
        .s_axis_tvalid(aresetn && sent < {words}), .s_axis_tready(takes),
        .m_axis_tdata(out), .m_axis_tvalid(gives), .m_axis_tlast(ends), .m_axis_tready(1'b1), .m_axis_tkeep(),
        .s_axi_awaddr(8'h00), .s_axi_awprot(3'h0), .s_axi_awvalid(1'b0), .s_axi_awready(),
        .s_axi_wdata(32'h0), .s_axi_wstrb(4'h0), .s_axi_wvalid(1'b0), .s_axi_wready(),
        .s_axi_bresp(), .s_axi_bvalid(), .s_axi_bready(1'b1),
        .s_axi_araddr(8'h00), .s_axi_arprot(3'h0), .s_axi_arvalid(1'b0), .s_axi_arready(),
        .s_axi_rdata(), .s_axi_rresp(), .s_axi_rvalid(), .s_axi_rready(1'b1)
    );

    always #5 aclk = ~aclk;

    initial begin
        $readmemh("izhi_tb_in.hex", in);
        $readmemh("izhi_tb_out.hex", expected);
        #42 aresetn = 1;
    end

    always @(posedge aclk) if (aresetn) begin
        still <= still + 1;
        if (sent < {words} && takes) begin
            sent <= sent + 1;
            still <= 0;
        end
        if (gives) begin
            if (out !== expected[received] || ends !== (received == {answers - 1})) begin
                $display("score %0d is %0d, expected %0d", received, $signed(out), $signed(expected[received]));
                wrong <= wrong + 1;
            end
            received <= received + 1;
            still <= 0;
            if (ends || received == {answers - 1}) begin
                if (wrong != 0 || out !== expected[received] || received != {answers - 1} || !ends) $display("FAIL");
                else $display("PASS: %0d scores", received + 1);
                $finish;
            end
        end
        if (still > 1000000) begin
            $display("FAIL: %0d of {words} words taken, %0d of {answers} scores sent", sent, received);
            $finish;
        end
    end
endmodule
"""


__all__ = ["bench"]
