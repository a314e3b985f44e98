// A system on chip for simulation: PicoRV32, memory, and Izhi's core, on one Wishbone bus.
//
//   0x00000000   memory, which begins with program.hex
//   0x10000000   izhi_wishbone
//   0x20000000   a write prints a character; 0x20000004 ends the simulation
`timescale 1ns / 1ps
module soc;
    localparam WORDS = @@{words};

    reg clk = 0, rst = 1;
    wire cyc, stb, we, trap, core_ack, core_err;
    wire [3:0] sel;
    wire [31:0] adr, sent, core_value;
    reg ack = 0;
    reg [31:0] value;
    reg [31:0] memory [0:WORDS-1];
    wire is_core = adr[31:28] == 4'h1;
    integer k;

    picorv32_wb #(.ENABLE_MUL(1), .ENABLE_DIV(1), .STACKADDR(4 * WORDS)) processor (
        .wb_rst_i(rst), .wb_clk_i(clk), .trap(trap),
        .wbm_cyc_o(cyc), .wbm_stb_o(stb), .wbm_we_o(we), .wbm_sel_o(sel), .wbm_adr_o(adr), .wbm_dat_o(sent),
        .wbm_dat_i(is_core ? core_value : value), .wbm_ack_i(is_core ? core_ack : ack),
        .pcpi_wr(1'b0), .pcpi_rd(32'h0), .pcpi_wait(1'b0), .pcpi_ready(1'b0), .irq(32'h0)
    );

    izhi_wishbone core (
        .clk(clk), .rst(rst),
        .wb_cyc(cyc & is_core), .wb_stb(stb), .wb_we(we), .wb_sel(sel), .wb_adr(adr[8:2]), .wb_dat_w(sent),
        .wb_dat_r(core_value), .wb_ack(core_ack), .wb_err(core_err), .irq()
    );

    always #5 clk = ~clk;

    initial begin
        $readmemh("program.hex", memory);
        #42 rst = 0;
    end

    always @(posedge clk) begin
        ack <= cyc & stb & ~is_core & ~ack & ~rst;
        value <= memory[adr[31:2]];
        if (cyc & stb & we & ~ack & ~rst) case (adr[31:28])
            4'h0: for (k = 0; k < 4; k = k + 1) if (sel[k]) memory[adr[31:2]][8*k +: 8] <= sent[8*k +: 8];
            4'h2: if (adr[2]) $finish;
                  else $write("%c", sent[7:0]);
            default: ;
        endcase
        if (trap) begin
            $display("FAIL: the processor stopped");
            $finish;
        end
        if (core_err) begin
            $display("FAIL: the core refused an access to 0x%h", adr);
            $finish;
        end
    end
endmodule
