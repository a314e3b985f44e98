// Izhi's core (module izhi of izhi.v) as a Wishbone slave: classic cycles, 32 bits, synchronous reset.
//
// wb_adr holds bits 8 to 2 of the byte address:
//
//   0x000 to 0x024   registers of the core, as in registers.md
//   0x100            QUEUE, read: bit 0, a word of an answer waits; bit 1, it is the answer's last; bits 16 to 31, the
//                    words that SEND has room for
//   0x104            ANSWER, read: takes the waiting word
//   0x108            SEND, write: a word of a packet
//   0x10C            SEND_LAST, write: the last word of a packet
//
// wb_err answers a write of less than four bytes, a read of ANSWER when no word waits, a write of SEND without room,
// and any other access; it changes nothing. CLEAR in the register CONTROL also discards words that were sent. irq is high while a word of an answer waits.
module izhi_wishbone (
    input wire clk,
    input wire rst,
    input wire wb_cyc,
    input wire wb_stb,
    input wire wb_we,
    input wire [3:0] wb_sel,
    input wire [8:2] wb_adr,
    input wire [31:0] wb_dat_w,
    output reg [31:0] wb_dat_r,
    output reg wb_ack,
    output reg wb_err,
    output wire irq
);
    localparam ROOM_BITS = 6;
    localparam [6:0] CONTROL = 7'h02, LAST_REGISTER = 7'h09, QUEUE = 7'h40, ANSWER = 7'h41, SEND = 7'h42, SEND_LAST = 7'h43;

    // Words on their way to the core, the last of a packet with bit 32.
    reg [32:0] words [0:(1 << ROOM_BITS) - 1];
    reg [ROOM_BITS:0] written, read;
    wire [ROOM_BITS:0] held = written - read;
    wire [ROOM_BITS:0] room = (1 << ROOM_BITS) - held;
    wire [32:0] next = words[read[ROOM_BITS-1:0]];
    wire takes, gives, is_last;
    wire [31:0] answer;

    // An access to the core's registers is passed on, and its response awaited.
    reg asks, awaits;
    wire write_ready, address_ready, read_ready, write_done, read_done;
    wire [1:0] write_response, read_response;
    wire [31:0] value;
    wire is_new = wb_cyc & wb_stb & ~wb_ack & ~wb_err & ~awaits;
    wire is_whole = ~wb_we | (wb_sel == 4'hF);
    wire is_register = wb_adr <= LAST_REGISTER;
    wire sends = wb_we & ((wb_adr == SEND) | (wb_adr == SEND_LAST)) & (room != 0) & is_whole;
    wire fetches = ~wb_we & (wb_adr == ANSWER) & gives;
    wire asks_queue = ~wb_we & (wb_adr == QUEUE);
    wire clears = asks & wb_we & address_ready & (wb_adr == CONTROL) & wb_dat_w[1];

    assign irq = gives;

    always @(posedge clk) begin
        wb_ack <= 0;
        wb_err <= 0;
        if (asks & (wb_we ? write_ready & address_ready : read_ready)) asks <= 0;
        if (is_new & is_register & is_whole) begin
            asks <= 1;
            awaits <= 1;
        end
        if (is_new & ~(is_register & is_whole)) begin
            wb_ack <= sends | fetches | asks_queue;
            wb_err <= ~(sends | fetches | asks_queue);
            wb_dat_r <= wb_adr == ANSWER ? answer : {{(15 - ROOM_BITS){1'b0}}, room, 14'h0, gives & is_last, gives};
            if (sends) begin
                words[written[ROOM_BITS-1:0]] <= {wb_adr == SEND_LAST, wb_dat_w};
                written <= written + 1'b1;
            end
        end
        if (awaits & (write_done | read_done)) begin
            awaits <= 0;
            wb_ack <= (wb_we ? write_response : read_response) == 0;
            wb_err <= (wb_we ? write_response : read_response) != 0;
            wb_dat_r <= value;
        end
        if (held != 0 & takes) read <= read + 1'b1;
        if (rst) {asks, awaits, wb_ack, wb_err} <= 0;
        if (rst | clears) {written, read} <= 0;
    end

    izhi core (
        .aclk(clk), .aresetn(~rst),
        .s_axis_tdata(next[31:0]), .s_axis_tlast(next[32]), .s_axis_tkeep(4'hF),
        .s_axis_tvalid(held != 0), .s_axis_tready(takes),
        .m_axis_tdata(answer), .m_axis_tlast(is_last), .m_axis_tkeep(),
        .m_axis_tvalid(gives), .m_axis_tready(is_new & fetches),
        .s_axi_awaddr({wb_adr[7:2], 2'b00}), .s_axi_awprot(3'h0), .s_axi_awvalid(asks & wb_we),
        .s_axi_awready(address_ready),
        .s_axi_wdata(wb_dat_w), .s_axi_wstrb(4'hF), .s_axi_wvalid(asks & wb_we), .s_axi_wready(write_ready),
        .s_axi_bresp(write_response), .s_axi_bvalid(write_done), .s_axi_bready(1'b1),
        .s_axi_araddr({wb_adr[7:2], 2'b00}), .s_axi_arprot(3'h0), .s_axi_arvalid(asks & ~wb_we),
        .s_axi_arready(read_ready),
        .s_axi_rdata(value), .s_axi_rresp(read_response), .s_axi_rvalid(read_done), .s_axi_rready(1'b1)
    );
endmodule
