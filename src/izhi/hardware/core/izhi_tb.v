// Checks izhi.v against the integer model: it ends with PASS or FAIL. Words of packets, with TLAST as bit 32, are in
// izhi_tb_in.hex, the scores in izhi_tb_out.hex, both in the folder that the simulator runs in.
`timescale 1ns / 1ps
module izhi_tb;
    reg aclk = 0, aresetn = 0;
    reg [32:0] in [0:@@{last_word}];
    reg [31:0] expected [0:@@{last_answer}];
    integer sent = 0, received = 0, wrong = 0, still = 0;
    wire [31:0] out;
    wire takes, gives, ends;

    izhi core (
        .aclk(aclk), .aresetn(aresetn),
        .s_axis_tdata(in[sent][31:0]), .s_axis_tlast(in[sent][32]), .s_axis_tkeep(4'hF),
        .s_axis_tvalid(aresetn && sent < @@{words}), .s_axis_tready(takes),
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
        if (sent < @@{words} && takes) begin
            sent <= sent + 1;
            still <= 0;
        end
        if (gives) begin
            if (out !== expected[received] || ends !== (received == @@{last_answer})) begin
                $display("score %0d is %0d, expected %0d", received, $signed(out), $signed(expected[received]));
                wrong <= wrong + 1;
            end
            received <= received + 1;
            still <= 0;
            if (ends || received == @@{last_answer}) begin
                if (wrong != 0 || out !== expected[received] || received != @@{last_answer} || !ends) $display("FAIL");
                else $display("PASS: %0d scores", received + 1);
                $finish;
            end
        end
        if (still > 1000000) begin
            $display("FAIL: %0d of @@{words} words taken, %0d of @@{answers} scores sent", sent, received);
            $finish;
        end
    end
endmodule
