/* Ed25519 (RFC 8032): verifying, and what signing is made of. Small rather than fast: a signature takes a few
 * milliseconds. No table, no allocation, a few kilobytes of stack. */
#ifndef TINI_ED25519_H
#define TINI_ED25519_H

#include <stddef.h>
#include <stdint.h>

/* 1 when `signature` is that of `key`'s owner over the message, in two parts (the second may be NULL with size 0). As
 * strict as libsodium: of the many forms that a point or a scalar could be written in, only the one; no key and no
 * signature's point of small order. */
int tini_ed25519_verify(const uint8_t signature[64], const uint8_t key[32], const uint8_t *message, size_t size,
                        const uint8_t *more, size_t more_size);

/* For signing: both take the same steps whatever the scalar. */

/* The encoded point scalar * base; scalar: least byte first. */
void tini_ed25519_base_times(uint8_t out[32], const uint8_t scalar[32]);

/* wide mod the order of the base. */
void tini_ed25519_reduce(uint8_t out[32], const uint8_t wide[64]);

/* SHA-512(point, key, message, more) mod the order. */
void tini_ed25519_challenge(uint8_t out[32], const uint8_t point[32], const uint8_t key[32],
                            const uint8_t *message, size_t size, const uint8_t *more, size_t more_size);

#endif
