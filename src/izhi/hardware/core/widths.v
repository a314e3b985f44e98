// For yosys' techmap: operands get the width of their sum, or of the wider one where they are compared.
(* techmap_celltype = "$add $sub $eq $ne $lt $le $gt $ge" *)
module operation (A, B, Y);
    parameter A_SIGNED = 0, B_SIGNED = 0, A_WIDTH = 1, B_WIDTH = 1, Y_WIDTH = 1, _TECHMAP_CELLTYPE_ = "";
    localparam IS_SUM = _TECHMAP_CELLTYPE_ == "$add" || _TECHMAP_CELLTYPE_ == "$sub";
    localparam WIDTH = IS_SUM ? Y_WIDTH : A_WIDTH > B_WIDTH ? A_WIDTH : B_WIDTH;
    input [A_WIDTH-1:0] A;
    input [B_WIDTH-1:0] B;
    output [Y_WIDTH-1:0] Y;
    wire [WIDTH-1:0] a, b;
    wire _TECHMAP_FAIL_ = A_WIDTH == WIDTH && B_WIDTH == WIDTH;
    generate
        if (A_WIDTH == 0) assign a = 0; else if (A_SIGNED) assign a = $signed(A); else assign a = A;
        if (B_WIDTH == 0) assign b = 0; else if (B_SIGNED) assign b = $signed(B); else assign b = B;
    endgenerate
    (* techmap_chtype = _TECHMAP_CELLTYPE_ *)
    _TECHMAP_PLACEHOLDER_ #(
        .A_SIGNED(A_SIGNED), .B_SIGNED(B_SIGNED), .A_WIDTH(WIDTH), .B_WIDTH(WIDTH), .Y_WIDTH(Y_WIDTH)
    ) _TECHMAP_REPLACE_ (.A(a), .B(b), .Y(Y));
endmodule

(* techmap_celltype = "$logic_not" *)
module negation (A, Y);
    parameter A_SIGNED = 0, A_WIDTH = 1, Y_WIDTH = 1;
    input [A_WIDTH-1:0] A;
    output [Y_WIDTH-1:0] Y;
    wire _TECHMAP_FAIL_ = A_WIDTH == 1;
    \$eq #(
        .A_SIGNED(0), .B_SIGNED(0), .A_WIDTH(A_WIDTH), .B_WIDTH(A_WIDTH), .Y_WIDTH(Y_WIDTH)
    ) _TECHMAP_REPLACE_ (.A(A), .B({A_WIDTH{1'b0}}), .Y(Y));
endmodule
