/* Ed25519 signatures, on the build side: a device only verifies. */
#ifndef TINI_SIGN_H
#define TINI_SIGN_H

#include <stddef.h>
#include <stdint.h>

/* The public key of a secret one. */
void tini_ed25519_public(const uint8_t seed[32], uint8_t key[32]);

/* RFC 8032, 5.1.6: the same seed and message give the same signature. The steps do not depend on the seed. */
void tini_ed25519_sign(const uint8_t seed[32], const uint8_t *message, size_t size, uint8_t signature[64]);

#endif
