/* minisign's keys and signatures, as text (jedisct1.github.io/minisign): what a person checks with `minisign -V` is what
 * the library checks. */
#ifndef TINI_MINISIGN_H
#define TINI_MINISIGN_H

#include "../../include/tin.h"

/* A literal and its length, for what takes both. */
#define TINI_TEXT(literal) literal, sizeof literal - 1

/* TIN_OK when `signature`, the text of a .minisig file, is that of the owner of `key` over the message, and over its own
 * trusted comment, and that states what is asked (NULL: nothing). key: the line "RW...", or the text of a .pub file. Both
 * kinds of signature that minisign makes: of the message's BLAKE2b digest, and of the message (-l). Errors: ARGUMENT (no
 * key), SIGNATURE. */
tin_status tini_minisign_verify(const uint8_t *message, size_t size, const char *signature, size_t length,
                                const char *key, size_t key_length, const tin_freshness *asked,
                                tin_error *error);

/* 1 when the text is a day as 2027-01-31, of 1970 or later: `end` is when it is over, in seconds since 1970. */
int tini_read_day(const char *text, size_t length, int64_t *end);

#endif
