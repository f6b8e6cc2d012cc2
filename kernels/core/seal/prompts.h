/* A file's own test, used where it lies in memory.
 *
 * selftest.bin, little-endian, written by compiler/selftest.py: "TINTEST1", uint32 prompts; for each of these: uint32
 * tokens, int32 ids, and the SHA-256 of the float32 logits of every position. Nothing in it is aligned. tini_model_agrees
 * has checked that all prompts are there. */
#ifndef TINI_PROMPTS_H
#define TINI_PROMPTS_H

#include <stddef.h>
#include <stdint.h>
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

#endif
