/* A file's own test, used where it lies in memory.
 *
 * selftest.bin, little-endian, written by compiler/selftest.py: "TINTEST1", uint32 prompts; for each of these: uint32
 * tokens, int32 ids, and the SHA-256 of the float32 logits of every position. Nothing in it is aligned. tini_model_agrees
 * has checked that all prompts are there. */
#ifndef TINI_SELFTEST_H
#define TINI_SELFTEST_H

#include "session.h"
#include "../seal/sha256.h"

#include <string.h>

#define TINI_SELFTEST_MAGIC "TINTEST1"
#define TINI_SELFTEST_HEAD 12u /* bytes before the first prompt */
#define TINI_SELFTEST_DIGEST 32u

typedef struct tini_selftest_prompt {
    const uint8_t *ids, *digest;
    uint32_t count;
} tini_selftest_prompt;

static inline uint32_t tini_selftest_prompts(const uint8_t *data) {
    uint32_t prompts;
    memcpy(&prompts, data + 8, sizeof prompts);
    return prompts;
}

/* The prompt at data[*at], behind which it moves; 0 where data[size] ends before the prompt does. */
static inline int tini_selftest_next(const uint8_t *data, size_t size, size_t *at,
                                     tini_selftest_prompt *prompt) {
    size_t left = size - *at;
    if (left < sizeof prompt->count + TINI_SELFTEST_DIGEST)
        return 0;
    memcpy(&prompt->count, data + *at, sizeof prompt->count);
    left -= sizeof prompt->count + TINI_SELFTEST_DIGEST;
    if (left / sizeof(int32_t) < prompt->count)
        return 0;
    prompt->ids = data + *at + sizeof prompt->count;
    prompt->digest = prompt->ids + prompt->count * sizeof(int32_t);
    *at = (size_t)(prompt->digest - data) + TINI_SELFTEST_DIGEST;
    return 1;
}

static inline int32_t tini_selftest_token(const tini_selftest_prompt *prompt, uint32_t k) {
    int32_t token;
    memcpy(&token, prompt->ids + k * sizeof token, sizeof token);
    return token;
}

/* The self-test in slices, for a host that has other things to look after meanwhile. */
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
