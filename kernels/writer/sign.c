#include "sign.h"

#include "../core/seal/ed25519.h"
#include "../core/seal/sha512.h"

/* The secret scalar, and behind it the secret that nonces are made from. */
static void expand(const uint8_t seed[32], uint8_t secret[64]) {
    tini_sha512 hash = tini_sha512_begin();
    tini_sha512_add(&hash, seed, 32);
    tini_sha512_end(&hash, secret);
    secret[0] &= 248;
    secret[31] = (uint8_t)((secret[31] & 63) | 64);
}

void tini_ed25519_public(const uint8_t seed[32], uint8_t key[32]) {
    uint8_t secret[64];
    expand(seed, secret);
    tini_ed25519_base_times(key, secret);
}

static uint32_t word(const uint8_t *bytes) {
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* out = a * b + c, 512 bits, which a product of two 256-bit numbers and another one fit into. */
static void multiply_add(uint8_t out[64], const uint8_t a[32], const uint8_t b[32], const uint8_t c[32]) {
    uint32_t sum[16] = {0};
    for (int i = 0; i < 8; i++)
        sum[i] = word(c + 4 * i);
    for (int i = 0; i < 8; i++) {
        uint64_t over = 0;
        for (int j = 0; j < 8; j++) {
            over += sum[i + j] + (uint64_t)word(a + 4 * i) * word(b + 4 * j);
            sum[i + j] = (uint32_t)over;
            over >>= 32;
        }
        for (int j = i + 8; j < 16; j++) {
            over += sum[j];
            sum[j] = (uint32_t)over;
            over >>= 32;
        }
    }
    for (int i = 0; i < 64; i++)
        out[i] = (uint8_t)(sum[i / 4] >> 8 * (i % 4));
}

void tini_ed25519_sign(const uint8_t seed[32], const uint8_t *message, size_t size, uint8_t signature[64]) {
    uint8_t secret[64], key[32], wide[64], nonce[32], challenge[32];
    expand(seed, secret);
    tini_ed25519_base_times(key, secret);
    tini_sha512 hash = tini_sha512_begin();
    tini_sha512_add(&hash, secret + 32, 32);
    tini_sha512_add(&hash, message, size);
    tini_sha512_end(&hash, wide);
    tini_ed25519_reduce(nonce, wide);
    tini_ed25519_base_times(signature, nonce);
    tini_ed25519_challenge(challenge, signature, key, message, size, NULL, 0);
    multiply_add(wide, challenge, secret, nonce);
    tini_ed25519_reduce(signature + 32, wide);
}
