/* Izhi's core behind izhi_wishbone.v, for a processor beside it: C99, no allocation. */
#ifndef IZHI_DRIVER_H
#define IZHI_DRIVER_H

#include <stdint.h>

#include "izhi.h"

/* What functions return. After any but IZHI_DONE, begin anew with izhi_start. */
enum izhi_result {
    IZHI_DONE = 0,
    IZHI_NO_CORE = 1,     /* no core at this address, or one of another izhi.h */
    IZHI_MALFORMED = 2,   /* the core refused the packet, ERROR in the register STATUS says why; or too many spikes */
    IZHI_UNEXPECTED = 3,  /* an answer of another length */
    IZHI_NO_PROGRESS = 4  /* the core neither takes words nor answers */
};

/* The address at which izhi_wishbone is on the bus. */
typedef volatile uint32_t *izhi_core;

/* Reads and writes a register of izhi.h. */
uint32_t izhi_read(izhi_core core, uint32_t reg);
void izhi_write(izhi_core core, uint32_t reg, uint32_t value);

/* Checks that the core is the one of izhi.h, discards what is in it but its memories, and sets its counters to 0. */
enum izhi_result izhi_start(izhi_core core);

/* Sends a packet that writes to memories, which has no answer. */
enum izhi_result izhi_load(izhi_core core, const uint32_t *words, uint32_t count);

/* Runs one inference.

   spikes: of each step the number of spikes of each input, steps * IZHI_INPUTS bytes of at most IZHI_LARGEST_INPUT.
   scores: of each class. */
enum izhi_result izhi_infer(izhi_core core, const uint8_t *spikes, uint32_t steps, int32_t scores[IZHI_SCORES]);

#endif
