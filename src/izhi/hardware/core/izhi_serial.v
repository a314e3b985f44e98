module izhi (
    input wire clk,
    input wire receive,
    output wire transmit,
    output wire light@@{high}
);
    wire is_busy;
    izhi_top top (.clk(clk), .receive(receive), .transmit(transmit), .is_busy(is_busy));
    assign light = @@{invert}is_busy;@@{ones}
endmodule
