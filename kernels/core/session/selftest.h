/* The self-test in slices, for a host with other work to do meanwhile. */
#ifndef TINI_SELFTEST_H
#define TINI_SELFTEST_H

#include "../seal/prompts.h"
#include "../seal/sha256.h"
#include "session.h"

typedef struct tini_selftest {
    const uint8_t *data; /* selftest.bin */
    size_t size, at;     /* at: of the prompt after the current one */
    uint32_t number;     /* of the current prompt, or of the next */
    int under_way;
    tini_selftest_prompt prompt;
    tini_sha256 hash; /* of its logits so far */
} tini_selftest;

/* tin_session_selftest is: begin; if that succeeds, step until it returns TIN_STEP_DONE or a failure instead of
 * TIN_STEP_PENDING; then end, which empties the session. */
tin_status tini_selftest_begin(tini_selftest *test, tin_session *session, tin_error *error);
int32_t tini_selftest_step(tini_selftest *test, tin_session *session, uint64_t budget_ns, tin_error *error);
tin_status tini_selftest_end(tin_session *session, tin_error *error);

#endif
