/* Loads the network, runs its samples on the core and compares the scores: prints PASS, or FAIL and the differences. */
#include "izhi_driver.h"
#include "izhi_network.h"

#define CORE ((izhi_core)0x10000000)
#define CONSOLE (*(volatile uint32_t *)0x20000000)

static void print(const char *text) {
    while (*text) CONSOLE = (uint32_t)*text++;
}

static void print_number(int32_t number) {
    char digits[12];
    int at = 11;
    uint32_t left = number < 0 ? 0u - (uint32_t)number : (uint32_t)number;
    digits[at] = 0;
    do digits[--at] = (char)('0' + left % 10);
    while (left /= 10);
    if (number < 0) digits[--at] = '-';
    print(digits + at);
}

static int check(const char *what, enum izhi_result result) {
    if (result == IZHI_DONE) return 0;
    print("FAIL: ");
    print(what);
    print(" returned ");
    print_number((int32_t)result);
    print("\n");
    return 1;
}

int main(void) {
    int32_t scores[IZHI_SCORES];
    int32_t wrong = 0;
    uint32_t k, class;
    if (check("izhi_start", izhi_start(CORE))) return 1;
    for (k = 0; k < IZHI_PACKETS; k++)
        if (check("izhi_load", izhi_load(CORE, izhi_packets[k].words, izhi_packets[k].count))) return 1;
    for (k = 0; k < IZHI_SAMPLES; k++) {
        if (check("izhi_infer", izhi_infer(CORE, izhi_spikes[k], IZHI_STEPS, scores))) return 1;
        for (class = 0; class < IZHI_SCORES; class++) {
            if (scores[class] == izhi_scores[k][class]) continue;
            print("FAIL: sample ");
            print_number((int32_t)k);
            print(", score ");
            print_number((int32_t)class);
            print(" is ");
            print_number(scores[class]);
            print(", expected ");
            print_number(izhi_scores[k][class]);
            print("\n");
            wrong++;
        }
    }
    if (!wrong) {
        print("PASS: ");
        print_number(IZHI_SAMPLES * IZHI_SCORES);
        print(" scores, ");
        print_number((int32_t)izhi_read(CORE, IZHI_REG_CYCLES));
        print(" cycles of inferences\n");
    }
    return wrong != 0;
}
