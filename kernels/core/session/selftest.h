/* The self-test in slices, for a host that has other things to look after meanwhile. */
#ifndef TINI_SELFTEST_H
#define TINI_SELFTEST_H

#include "../seal/prompts.h"
#include "../seal/sha256.h"
#include "session.h"

typedef struct tini_selftest {
    const uint8_t *data; /* selftest.bin */
    size_t size, at;     /* of the prompt after the one under way */
    uint32_t number;     /* of the next prompt, or of the one under way */
    int under_way;
    tini_selftest_prompt prompt;
    tini_sha256 hash; /* of its logits so far */
} tini_selftest;

/* tin_session_selftest is: begin; where that succeeds, step until it is not TIN_STEP_PENDING any more, but TIN_STEP_DONE
 * or a failure; then end, which empties the session. */
tin_status tini_selftest_begin(tini_selftest *test, tin_session *session, tin_error *error);
int32_t tini_selftest_step(tini_selftest *test, tin_session *session, uint64_t budget_ns, tin_error *error);
tin_status tini_selftest_end(tin_session *session, tin_error *error);

#endif
