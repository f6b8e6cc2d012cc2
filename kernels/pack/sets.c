#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* as thread.h wants it */
#endif
#include "../core/base/thread.h"

#include "../core/base/isa.h"
#include "sets.h"

enum { UNKNOWN, ABSENT, PRESENT };

#define TINI_NAME(set) #set,
static const char *const tini_names[] = {TINI_SETS(TINI_NAME)};
enum { SETS = sizeof tini_names / sizeof *tini_names };
static tini_atomic32 tini_answers[SETS];

int tini_set_runs(uint32_t set) {
    if (set >= SETS)
        return 0;
    uint32_t answer = set ? tini_load32(&tini_answers[set]) : PRESENT;
    if (answer == UNKNOWN) {
        answer = tini_kernels_select(tini_names[set]) ? PRESENT : ABSENT;
        tini_store32(&tini_answers[set], answer);
    }
    return answer == PRESENT;
}

uint32_t tini_set_best(uint32_t passed_over) {
    uint32_t set = SETS - 1;
    for (; set; set--)
        if (tini_set_runs(set) && !passed_over--)
            break;
    return set;
}
