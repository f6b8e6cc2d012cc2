#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* as thread.h wants it */
#endif
#include "../core/base/thread.h"

#include "../core/base/isa.h"
#include "sets.h"

#include <string.h>

enum { UNKNOWN, ABSENT, PRESENT };

#define TINI_NAME(name, have) #name,
static const char *const tini_names[] = {TIN_ISAS(TINI_NAME)};
static tini_atomic32 tini_answers[sizeof tini_names / sizeof *tini_names];

int tini_set_runs(const char *isa) {
    for (uint32_t k = 0; k < sizeof tini_names / sizeof *tini_names; k++) {
        if (strcmp(tini_names[k], isa))
            continue;
        uint32_t answer = tini_load32(&tini_answers[k]);
        if (answer == UNKNOWN) {
            answer = tini_kernels_select(isa) ? PRESENT : ABSENT;
            tini_store32(&tini_answers[k], answer);
        }
        return answer == PRESENT;
    }
    return 0;
}
