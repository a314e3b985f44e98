// Runs the block of AXI, compiled by CXXRTL, as a master of its three buses. CORE_STATES keeps the states.
#include <cstdint>
#include <cstddef>
#include <vector>

using namespace cxxrtl;
using namespace cxxrtl_yosys;

namespace {

struct Simulator {
    cxxrtl_design::p_izhi top;
    uint64_t cycles = 0;
    uint64_t checked_until = 0, check_every = 1;  // see settles
    bool is_settled = true;
    uint32_t random = 1;
    std::vector<int32_t> states;  // layer, neuron, v, u of each update

    // Whether a stream pauses in this cycle: with probability share/256.
    bool pauses(uint32_t share) {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        return ((random >> 8) & 255) < share;
    }
};

template <size_t Bits>
int32_t as_signed(const value<Bits> &x) {
    return static_cast<int32_t>(x.template sext<32>().template get<uint32_t>());
}

// Cycles after a reset, and at the beginning of each transfer, in which it is checked that the logic settles.
const uint64_t CHECKED = 32;

// Whether one evaluation settles the combinational logic, by value: without an edge nothing but wires that feed back
// can change, and one that still does was read before it was known.
bool settles(Simulator *s) {
    s->top.prev_p_aclk.set<uint32_t>(1);
    s->top.p_aclk.set<uint32_t>(1);
    s->top.eval();
    return !s->top.commit();
}

// One clock cycle is one evaluation at a rising edge: it computes outputs from states and inputs as they are,
// and the states that `commit` then makes the present ones. No wire may feed back on itself (see compile.py), which
// is checked in some cycles.
void evaluate(Simulator *s) {
    if (s->cycles < s->checked_until || s->cycles % s->check_every == 0) s->is_settled &= settles(s);
    s->top.prev_p_aclk.set<uint32_t>(0);
    s->top.p_aclk.set<uint32_t>(1);
    s->top.eval();
}

void check_from_here(Simulator *s) { s->checked_until = s->cycles + CHECKED; }

void finish(Simulator *s) {
    auto &top = s->top;
    CORE_STATES
    top.commit();
    s->cycles++;
}

// Cycles after which a register that does not answer is given up.
const int PATIENCE = 1 << 20;
const int32_t NO_ANSWER = -1;

}  // namespace

extern "C" {

void simulator_reset(Simulator *s) {
    check_from_here(s);
    s->top.p_aresetn.set<uint32_t>(0);
    for (int cycle = 0; cycle < 2; cycle++) {
        evaluate(s);
        finish(s);
    }
    s->top.p_aresetn.set<uint32_t>(1);
}

// Checks in every so many cycles that the logic settles.
Simulator *simulator_create(uint64_t check_every) {
    auto *s = new Simulator;
    s->check_every = check_every ? check_every : 1;
    simulator_reset(s);
    return s;
}

// Whether the logic settled wherever that was checked.
int32_t simulator_is_settled(Simulator *s) { return s->is_settled; }

void simulator_destroy(Simulator *s) { delete s; }

uint64_t simulator_cycles(Simulator *s) { return s->cycles; }

void simulator_seed(Simulator *s, uint32_t seed) { s->random = seed ? seed : 1; }

size_t simulator_states(Simulator *s, int32_t *out, size_t capacity) {
    size_t count = s->states.size();
    if (out && count <= capacity) {
        for (size_t i = 0; i < count; i++) out[i] = s->states[i];
        s->states.clear();
    }
    return count;
}

// Reads a register. Returns AXI's response, or NO_ANSWER.
int32_t simulator_read(Simulator *s, uint32_t address, uint32_t *value) {
    auto &top = s->top;
    top.p_s__axi__araddr.set<uint32_t>(address);
    top.p_s__axi__arvalid.set<uint32_t>(1);
    top.p_s__axi__rready.set<uint32_t>(1);
    int32_t answer = NO_ANSWER;
    for (int cycle = 0; cycle < PATIENCE && answer == NO_ANSWER; cycle++) {
        evaluate(s);
        bool is_taken = top.p_s__axi__arready.get<uint32_t>();
        if (top.p_s__axi__rvalid.get<uint32_t>()) {
            *value = top.p_s__axi__rdata.get<uint32_t>();
            answer = top.p_s__axi__rresp.get<uint32_t>();
        }
        finish(s);
        if (is_taken) top.p_s__axi__arvalid.set<uint32_t>(0);
    }
    top.p_s__axi__arvalid.set<uint32_t>(0);
    top.p_s__axi__rready.set<uint32_t>(0);
    return answer;
}

// Writes a register. Returns AXI's response, or NO_ANSWER.
int32_t simulator_write(Simulator *s, uint32_t address, uint32_t value) {
    auto &top = s->top;
    top.p_s__axi__awaddr.set<uint32_t>(address);
    top.p_s__axi__wdata.set<uint32_t>(value);
    top.p_s__axi__wstrb.set<uint32_t>(15);
    top.p_s__axi__awvalid.set<uint32_t>(1);
    top.p_s__axi__wvalid.set<uint32_t>(1);
    top.p_s__axi__bready.set<uint32_t>(1);
    int32_t answer = NO_ANSWER;
    for (int cycle = 0; cycle < PATIENCE && answer == NO_ANSWER; cycle++) {
        evaluate(s);
        bool is_address = top.p_s__axi__awready.get<uint32_t>(), is_data = top.p_s__axi__wready.get<uint32_t>();
        if (top.p_s__axi__bvalid.get<uint32_t>()) answer = top.p_s__axi__bresp.get<uint32_t>();
        finish(s);
        if (is_address) top.p_s__axi__awvalid.set<uint32_t>(0);
        if (is_data) top.p_s__axi__wvalid.set<uint32_t>(0);
    }
    top.p_s__axi__awvalid.set<uint32_t>(0);
    top.p_s__axi__wvalid.set<uint32_t>(0);
    top.p_s__axi__bready.set<uint32_t>(0);
    return answer;
}

// Offers words until all are taken and `packets` packets have come out, or no word has gone in or out for
// `patience` cycles, or there is no more room for output. Returns how many words came out; `taken` is how many
// went in.
size_t simulator_run(Simulator *s, const uint32_t *words, const uint8_t *last, size_t count, size_t packets,
                     uint32_t *out, uint8_t *out_last, size_t capacity, uint64_t patience, uint32_t pause_in,
                     uint32_t pause_out, size_t *taken) {
    auto &top = s->top;
    check_from_here(s);
    size_t in = 0, produced = 0, ended = 0;
    bool is_offered = false;
    top.p_s__axis__tkeep.set<uint32_t>(15);
    for (uint64_t still = 0; still < patience && (in < count || ended < packets) && produced < capacity; still++) {
        if (!s->is_settled) break;
        // A word that is offered stays until it is taken, as the protocol demands.
        if (!is_offered) is_offered = in < count && !(pause_in && s->pauses(pause_in));
        if (is_offered) {
            top.p_s__axis__tdata.set<uint32_t>(words[in]);
            top.p_s__axis__tlast.set<uint32_t>(last[in]);
        }
        top.p_s__axis__tvalid.set<uint32_t>(is_offered);
        bool takes_output = !(pause_out && s->pauses(pause_out));
        top.p_m__axis__tready.set<uint32_t>(takes_output);
        evaluate(s);
        if (is_offered && top.p_s__axis__tready.get<uint32_t>()) {
            in++;
            is_offered = false;
            still = 0;
        }
        if (takes_output && top.p_m__axis__tvalid.get<uint32_t>()) {
            out[produced] = top.p_m__axis__tdata.get<uint32_t>();
            out_last[produced] = top.p_m__axis__tlast.get<uint32_t>();
            ended += out_last[produced++];
            still = 0;
        }
        finish(s);
    }
    top.p_s__axis__tvalid.set<uint32_t>(0);
    top.p_m__axis__tready.set<uint32_t>(0);
    *taken = in;
    return produced;
}

}  // extern "C"
