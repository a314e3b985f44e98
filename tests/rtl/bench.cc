// Runs the Verilog block: words of packets from a file into s_axis, what comes out of m_axis to stdout. The master
// of each stream pauses at random, and checks that valid words stay as they are until they are taken.
#include <cstdio>
#include <cstdlib>

#include "Vizhi.h"
#include "verilated.h"

double sc_time_stamp() { return 0; }

int main(int argc, char **argv) {
    Vizhi top;
    FILE *in = fopen(argv[1], "rb");
    int packets = atoi(argv[2]), pause = atoi(argv[3]);
    unsigned word[2], random = 7;
    bool has = false, was_valid = false;
    unsigned was = 0, was_last = 0;
    top.m_axis_tready = 0;
    for (long cycle = 0; packets > 0 && cycle < 2000000; cycle++) {
        top.aresetn = cycle > 3;
        random = random * 1664525u + 1013904223u;
        if (!has && top.aresetn && (random >> 24) >= (unsigned)pause) has = fread(word, 4, 2, in) == 2;
        top.s_axis_tvalid = has;
        if (has) top.s_axis_tdata = word[0], top.s_axis_tlast = word[1];
        top.m_axis_tready = ((random >> 16) & 255) >= (unsigned)pause;
        top.aclk = 0;
        top.eval();
        if (top.aresetn) {
            if (was_valid && (!top.m_axis_tvalid || top.m_axis_tdata != was || top.m_axis_tlast != was_last)) {
                fprintf(stderr, "a word changed before it was taken, in cycle %ld\n", cycle);
                return 3;
            }
            if (top.m_axis_tvalid && top.m_axis_tkeep != 15) return 4;
            was_valid = top.m_axis_tvalid && !top.m_axis_tready;
            was = top.m_axis_tdata, was_last = top.m_axis_tlast;
            if (has && top.s_axis_tready) has = false;
            if (top.m_axis_tvalid && top.m_axis_tready) {
                printf("%u %u\n", top.m_axis_tdata, (unsigned)top.m_axis_tlast);
                packets -= top.m_axis_tlast;
            }
        }
        top.aclk = 1;
        top.eval();
    }
    return packets > 0;
}
