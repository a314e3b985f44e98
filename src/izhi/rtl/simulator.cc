// Runs a core, compiled by CXXRTL, from streams of words. Everything of the design itself is in CORE_*.
#include <cstdint>
#include <cstddef>
#include <vector>

using namespace cxxrtl;
using namespace cxxrtl_yosys;

namespace {

struct Simulator {
    cxxrtl_design::p_top top;
    uint64_t cycles = 0, events = 0;
    uint32_t random = 1;
    bool keeps_states = false;
    std::vector<int32_t> states;  // layer, neuron, v, u of each update

    // Whether a stream pauses in this cycle: with probability share/256.
    bool pauses(uint32_t share) {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        return ((random >> 8) & 255) < share;
    }
};

// One clock cycle is one evaluation at a rising edge: it computes outputs from states and inputs as they are,
// and the states that `commit` then makes the present ones. No wire feeds back on itself (see _write_cxxrtl).
void evaluate(Simulator *s) {
    s->top.prev_p_clk.set<uint32_t>(0);
    s->top.p_clk.set<uint32_t>(1);
    s->top.eval();
}

void finish(Simulator *s) {
    s->top.commit();
    s->cycles++;
}

template <size_t Bits>
int32_t as_signed(const value<Bits> &x) {
    return static_cast<int32_t>(x.template sext<32>().template get<uint32_t>());
}

}  // namespace

extern "C" {

Simulator *simulator_create() { return new Simulator; }

void simulator_destroy(Simulator *s) { delete s; }

uint64_t simulator_cycles(Simulator *s) { return s->cycles; }
uint64_t simulator_events(Simulator *s) { return s->events; }

void simulator_set(Simulator *s, uint32_t sends_spikes, uint32_t keeps_states, uint32_t seed) {
    s->top.p_sends__spikes.set<uint32_t>(sends_spikes);
    s->keeps_states = keeps_states;
    s->random = seed ? seed : 1;
}

size_t simulator_states(Simulator *s, int32_t *out, size_t capacity) {
    size_t count = s->states.size();
    if (out && count <= capacity) {
        for (size_t i = 0; i < count; i++) out[i] = s->states[i];
        s->states.clear();
    }
    return count;
}

uint32_t simulator_error(Simulator *s, uint32_t acknowledges) {
    evaluate(s);
    finish(s);
    uint32_t error = s->top.p_error.get<uint32_t>();
    if (acknowledges) {
        s->top.p_acknowledge.set<uint32_t>(1);
        evaluate(s);
        finish(s);
        s->top.p_acknowledge.set<uint32_t>(0);
    }
    return error;
}

void simulator_clear(Simulator *s) {
    s->top.p_clear.set<uint32_t>(1);
    evaluate(s);
    finish(s);
    s->top.p_clear.set<uint32_t>(0);
}

// Offers words until all are taken and `packets` packets have come out, or `limit` cycles are over, or there
// is no more room for output. Returns how many words came out; `taken` is how many went in.
size_t simulator_run(Simulator *s, const uint32_t *words, const uint8_t *last, size_t count, size_t packets,
                     uint32_t *out, uint8_t *out_last, size_t capacity, uint64_t limit, uint32_t pause_in,
                     uint32_t pause_out, size_t *taken) {
    auto &top = s->top;
    size_t in = 0, produced = 0, ended = 0;
    bool is_offered = false;
    for (uint64_t cycle = 0; cycle < limit && (in < count || ended < packets) && produced < capacity; cycle++) {
        // A word that is offered stays until it is taken, as the protocol demands.
        if (!is_offered) is_offered = in < count && !(pause_in && s->pauses(pause_in));
        if (is_offered) top.p_input____payload.set<uint64_t>(words[in] | (uint64_t)last[in] << 32);
        top.p_input____valid.set<uint32_t>(is_offered);
        bool takes_output = !(pause_out && s->pauses(pause_out));
        top.p_output____ready.set<uint32_t>(takes_output);
        evaluate(s);
        if (is_offered && top.p_input____ready.get<uint32_t>()) {
            in++;
            is_offered = false;
        }
        if (takes_output && top.p_output____valid.get<uint32_t>()) {
            uint64_t payload = top.p_output____payload.get<uint64_t>();
            out[produced] = (uint32_t)payload;
            out_last[produced++] = payload >> 32 & 1;
            ended += payload >> 32 & 1;
        }
        s->events += top.p_events.get<uint32_t>();
        if (s->keeps_states) {
            CORE_STATES
        }
        finish(s);
    }
    top.p_input____valid.set<uint32_t>(0);
    top.p_output____ready.set<uint32_t>(0);
    *taken = in;
    return produced;
}

}  // extern "C"
