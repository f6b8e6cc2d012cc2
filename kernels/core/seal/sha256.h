/* SHA-256 (FIPS 180-4). */
#ifndef TINI_SHA256_H
#define TINI_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct tini_sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64];
} tini_sha256;

tini_sha256 tini_sha256_begin(void);
void tini_sha256_add(tini_sha256 *h, const void *data, size_t size);
void tini_sha256_end(tini_sha256 *h, uint8_t digest[32]);

#endif
