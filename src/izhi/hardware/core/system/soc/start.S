    .section .text.start
    .global _start
_start:
    la sp, stack
    call main
    li t0, 0x20000004
    sw a0, 0(t0)
1:  j 1b
