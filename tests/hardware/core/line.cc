// Runs a core behind a serial line at the level of its pins: bits in, bits out, so many clock cycles each.
#include <cstdint>
#include <cstddef>

using namespace cxxrtl;
using namespace cxxrtl_yosys;

namespace {

// A byte on its way: cycles left of the present bit, bits left, and what they are.
struct Way {
    uint32_t left = 0, bits = 0, shift = 0;
};

struct Line {
    cxxrtl_design::p_izhi top;
    uint64_t cycles = 0;
    Way in, out;
};

void cycle(Line *s) {
    s->top.prev_p_clk.set<uint32_t>(0);
    s->top.p_clk.set<uint32_t>(1);
    s->top.eval();
    s->top.commit();
    s->cycles++;
}

}  // namespace

extern "C" {

Line *line_create() {
    auto *s = new Line;
    s->top.p_receive.set<uint32_t>(1);
    return s;
}

void line_destroy(Line *s) { delete s; }

uint64_t line_cycles(Line *s) { return s->cycles; }

// Runs so many cycles, or until a byte has come out. A byte that goes in has `in_bit` cycles a bit, one that comes out
// `out_bit`. Returns the byte, -1 where none has come, or -2 where its stop bit is wrong; `taken` counts bytes of `data`
// whose first bit is on the line.
int32_t line_run(
    Line *s, const uint8_t *data, size_t size, size_t *taken, uint64_t cycles, uint32_t in_bit, uint32_t out_bit
) {
    auto &in = s->in, &out = s->out;
    *taken = 0;
    for (uint64_t k = 0; k < cycles; k++) {
        if (in.bits && --in.left == 0) {
            in.bits--;
            in.shift >>= 1;
            in.left = in_bit;
        }
        if (!in.bits && *taken < size) {
            in.shift = data[(*taken)++] << 1 | 1u << 9;
            in.bits = 10;
            in.left = in_bit;
        }
        s->top.p_receive.set<uint32_t>(in.bits ? in.shift & 1 : 1);
        cycle(s);
        uint32_t level = s->top.p_transmit.get<uint32_t>();
        if (!out.bits) {
            if (!level) {
                out.bits = 10;
                out.left = out_bit / 2 + 1;
                out.shift = 0;
            }
        } else if (--out.left == 0) {
            out.shift |= level << (10 - out.bits);
            out.left = out_bit;
            if (--out.bits == 0) return (out.shift & 1) || !(out.shift >> 9 & 1) ? -2 : out.shift >> 1 & 0xff;
        }
    }
    return -1;
}

}  // extern "C"
