/* BLAKE2b with a digest of 64 bytes and no key (RFC 7693), which minisign signs files by. */
#ifndef TINI_BLAKE2B_H
#define TINI_BLAKE2B_H

#include "sha512.h"

static const uint8_t tini_blake2b_order[10][16] = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
                                                   {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
                                                   {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
                                                   {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
                                                   {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
                                                   {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
                                                   {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
                                                   {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
                                                   {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
                                                   {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

static inline void tini_blake2b_mix(uint64_t v[16], int a, int b, int c, int d, uint64_t x, uint64_t y) {
    v[a] += v[b] + x;
    v[d] = tini_rotated64(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = tini_rotated64(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = tini_rotated64(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = tini_rotated64(v[b] ^ v[c], 63);
}

/* One block; bytes: of the message to its end; last: 1 for the last one. */
static inline void tini_blake2b_block(uint64_t state[8], const uint8_t block[128], uint64_t bytes, int last) {
    uint64_t m[16], v[16];
    for (int i = 0; i < 16; i++) {
        m[i] = 0;
        for (int k = 7; k >= 0; k--)
            m[i] = m[i] << 8 | block[8 * i + k];
    }
    memcpy(v, state, 64);
    memcpy(v + 8, tini_sha512_begin_state, 64);
    v[12] ^= bytes;
    if (last)
        v[14] = ~v[14];
    for (int round = 0; round < 12; round++) {
        const uint8_t *s = tini_blake2b_order[round % 10];
        for (int i = 0; i < 4; i++)
            tini_blake2b_mix(v, i, 4 + i, 8 + i, 12 + i, m[s[2 * i]], m[s[2 * i + 1]]);
        for (int i = 0; i < 4; i++)
            tini_blake2b_mix(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[s[8 + 2 * i]],
                             m[s[9 + 2 * i]]);
    }
    for (int i = 0; i < 8; i++)
        state[i] ^= v[i] ^ v[8 + i];
}

static inline void tini_blake2b(const uint8_t *data, size_t size, uint8_t digest[64]) {
    uint64_t state[8];
    memcpy(state, tini_sha512_begin_state, sizeof state);
    state[0] ^= 0x01010040; /* no key, a tree of one node, 64 bytes of digest */
    size_t at = 0;
    for (; size - at > 128; at += 128)
        tini_blake2b_block(state, data + at, at + 128, 0);
    uint8_t block[128] = {0};
    if (size > at)
        memcpy(block, data + at, size - at);
    tini_blake2b_block(state, block, size, 1);
    for (int i = 0; i < 64; i++)
        digest[i] = (uint8_t)(state[i / 8] >> 8 * (i % 8));
}

#endif
