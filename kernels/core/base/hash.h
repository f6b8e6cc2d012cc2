/* A 64-bit hash of bytes, to tell damage and different files, not to stop an attacker. Every step is a bijection of the
 * state for given input and of the input for a given state, so no change of one word goes unseen. */
#ifndef TINI_HASH_H
#define TINI_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t tini_hash(const void *data, size_t size, uint64_t seed) {
    const uint8_t *p = data;
    uint64_t h = seed ^ ((uint64_t)size + 1) * UINT64_C(0x9E3779B97F4A7C15);
    for (size_t left = size; left;) {
        uint64_t word = 0;
        size_t take = left < 8 ? left : 8;
        memcpy(&word, p, take);
        h = (h ^ word) * UINT64_C(0xBF58476D1CE4E5B9);
        h ^= h >> 29;
        p += take;
        left -= take;
    }
    h *= UINT64_C(0x94D049BB133111EB);
    return h ^ h >> 32;
}

#endif
