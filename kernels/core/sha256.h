/* SHA-256 (FIPS 180-4). */
#ifndef TINI_SHA256_H
#define TINI_SHA256_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct tini_sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64];
} tini_sha256;

static const uint32_t tini_sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static inline uint32_t tini_rotated(uint32_t x, int by) {
    return x >> by | x << (32 - by);
}

static inline void tini_sha256_block(uint32_t state[8], const uint8_t *p) {
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++, p += 4)
        w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (tini_rotated(a, 7) ^ tini_rotated(a, 18) ^ a >> 3) + w[i - 7] +
               (tini_rotated(b, 17) ^ tini_rotated(b, 19) ^ b >> 10);
    }
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t a = s[0], e = s[4];
        uint32_t t1 = s[7] + (tini_rotated(e, 6) ^ tini_rotated(e, 11) ^ tini_rotated(e, 25)) +
                      ((e & s[5]) ^ (~e & s[6])) + tini_sha256_k[i] + w[i];
        uint32_t t2 = (tini_rotated(a, 2) ^ tini_rotated(a, 13) ^ tini_rotated(a, 22)) +
                      ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

static inline tini_sha256 tini_sha256_begin(void) {
    return (tini_sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
                                   0x1f83d9ab, 0x5be0cd19}};
}

static inline void tini_sha256_add(tini_sha256 *h, const void *data, size_t size) {
    const uint8_t *p = data;
    size_t held = h->bytes % 64;
    h->bytes += size;
    if (held + size < 64) {
        memcpy(h->block + held, p, size);
        return;
    }
    if (held) {
        memcpy(h->block + held, p, 64 - held);
        tini_sha256_block(h->state, h->block);
        p += 64 - held;
        size -= 64 - held;
    }
    for (; size >= 64; p += 64, size -= 64)
        tini_sha256_block(h->state, p);
    memcpy(h->block, p, size);
}

static inline void tini_sha256_end(tini_sha256 *h, uint8_t digest[32]) {
    uint64_t bits = 8 * h->bytes;
    uint8_t tail[72] = {0x80};
    size_t zeros = (119 - h->bytes % 64) % 64; /* up to 8 bytes before the end of a block */
    for (int i = 0; i < 8; i++)
        tail[1 + zeros + (size_t)i] = (uint8_t)(bits >> (56 - 8 * i));
    tini_sha256_add(h, tail, 9 + zeros);
    for (int i = 0; i < 32; i++)
        digest[i] = (uint8_t)(h->state[i / 4] >> (24 - 8 * (i % 4)));
}

#endif
