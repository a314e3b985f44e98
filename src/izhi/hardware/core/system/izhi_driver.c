#include "izhi_driver.h"

/* Addresses of izhi_wishbone.v in words, and the fields of QUEUE. */
enum { QUEUE = 0x100 / 4, ANSWER = 0x104 / 4, SEND = 0x108 / 4, SEND_LAST = 0x10C / 4 };
enum { WAITS = 1, IS_LAST = 2, ROOM_SHIFT = 16 };

/* Words for which an empty queue has room. */
#define ROOM 64u

/* Reads of QUEUE without a change after which the core is taken to stand still. */
#define PATIENCE 100000000u

uint32_t izhi_read(izhi_core core, uint32_t reg) { return core[reg / 4]; }

void izhi_write(izhi_core core, uint32_t reg, uint32_t value) { core[reg / 4] = value; }

/* An exchange with the core: words go out while words of the answer come in, since neither waits for the other. */
struct exchange {
    izhi_core core;
    uint32_t room;
    int32_t *scores;
    uint32_t received;
    int is_over; /* the answer's last word has come */
};

/* Takes the answer's words that wait, and counts the words that have room. */
static void look(struct exchange *exchange) {
    uint32_t queue = exchange->core[QUEUE];
    while (queue & WAITS) {
        uint32_t word = exchange->core[ANSWER];
        exchange->is_over |= (queue & IS_LAST) != 0;
        if (exchange->received < IZHI_SCORES) exchange->scores[exchange->received] = (int32_t)word;
        exchange->received++;
        queue = exchange->core[QUEUE];
    }
    exchange->room = queue >> ROOM_SHIFT;
}

static enum izhi_result send(struct exchange *exchange, uint32_t word, uint32_t address) {
    uint32_t left = PATIENCE;
    while (exchange->room == 0) {
        look(exchange);
        if (left-- == 0) return IZHI_NO_PROGRESS;
    }
    exchange->core[address] = word;
    exchange->room--;
    return IZHI_DONE;
}

enum izhi_result izhi_start(izhi_core core) {
    int32_t scores[IZHI_SCORES];
    struct exchange exchange = {core, 0, scores, 0, 0};
    if (izhi_read(core, IZHI_REG_IDENTITY) != IZHI_IDENTITY || izhi_read(core, IZHI_REG_VERSION) != IZHI_VERSION ||
        izhi_read(core, IZHI_REG_FINGERPRINT) != IZHI_FINGERPRINT)
        return IZHI_NO_CORE;
    izhi_write(core, IZHI_REG_CONTROL, 1u << IZHI_CONTROL_RUN | 1u << IZHI_CONTROL_CLEAR | 1u << IZHI_CONTROL_ACKNOWLEDGE);
    while (izhi_read(core, IZHI_REG_STATUS) & 1u << IZHI_STATUS_ANSWERING) look(&exchange);
    return IZHI_DONE;
}

enum izhi_result izhi_load(izhi_core core, const uint32_t *words, uint32_t count) {
    int32_t scores[IZHI_SCORES];
    struct exchange exchange = {core, 0, scores, 0, 0};
    uint32_t k, left = PATIENCE;
    for (k = 0; k < count; k++)
        if (send(&exchange, words[k], k + 1 < count ? SEND : SEND_LAST)) return IZHI_NO_PROGRESS;
    while (exchange.room != ROOM) {
        look(&exchange);
        if (left-- == 0) return IZHI_NO_PROGRESS;
    }
    /* Registers are read when the core has processed the words that it took. */
    return izhi_read(core, IZHI_REG_STATUS) >> IZHI_STATUS_ERROR & 7u ? IZHI_MALFORMED : IZHI_DONE;
}

/* Sends the spikes of a step. */
static enum izhi_result send_step(struct exchange *exchange, const uint8_t *spikes) {
    uint32_t source, word = 0, is_waiting = 0;
    for (source = 0; source < IZHI_INPUTS; source++) {
        uint32_t times = spikes[source];
        if (times == 0) continue;
        if (times > IZHI_LARGEST_INPUT) return IZHI_MALFORMED;
        if (IZHI_SPIKES == 2 && !is_waiting) {
            word = source;
            is_waiting = 1;
            continue;
        }
        if (is_waiting)
            word |= (uint32_t)IZHI_OP_PAIR << IZHI_OP_SHIFT | source << IZHI_PAIR_SHIFT;
        else
            word = times == 1 ? source : (uint32_t)IZHI_OP_COUNT << IZHI_OP_SHIFT | times << IZHI_COUNT_SHIFT | source;
        if (send(exchange, word, SEND)) return IZHI_NO_PROGRESS;
        is_waiting = 0;
    }
    if (is_waiting && send(exchange, word, SEND)) return IZHI_NO_PROGRESS;
    return send(exchange, (uint32_t)IZHI_OP_STEP << IZHI_OP_SHIFT, SEND);
}

enum izhi_result izhi_infer(izhi_core core, const uint8_t *spikes, uint32_t steps, int32_t scores[IZHI_SCORES]) {
    struct exchange exchange = {core, 0, scores, 0, 0};
    enum izhi_result result;
    uint32_t step, left = PATIENCE;
    for (step = 0; step < steps && !exchange.is_over; step++)
        if ((result = send_step(&exchange, spikes + step * IZHI_INPUTS))) return result;
    if (send(&exchange, (uint32_t)IZHI_OP_END << IZHI_OP_SHIFT, SEND_LAST)) return IZHI_NO_PROGRESS;
    while (!exchange.is_over) {
        look(&exchange);
        if (left-- == 0) return IZHI_NO_PROGRESS;
    }
    if (izhi_read(core, IZHI_REG_STATUS) >> IZHI_STATUS_ERROR & 7u) return IZHI_MALFORMED;
    return exchange.received == IZHI_SCORES ? IZHI_DONE : IZHI_UNEXPECTED;
}
