/* A session's key-value caches: where each head's part lies, and moving what they hold. */
#ifndef TINI_KV_H
#define TINI_KV_H

#include "../base/kernel.h"
#include "program.h"

typedef struct tini_caches {
    const tini_program *program;
    uint8_t *base;
    uint64_t *offsets; /* [caches], of each cache's first head, in bytes from base */
    uint32_t type;     /* TIN_KV_* */
    uint32_t context;  /* most positions */
    uint32_t rows;     /* most positions appended before attention reads */
    uint32_t before;   /* positions of a prefix; what is counted below are the tokens behind it */
} tini_caches;

/* Whether every cache of the program can be of that type. */
int tini_caches_allow(const tini_program *program, uint32_t type);

/* Bytes at `base`; a multiple of TIN_ALIGNMENT. Writes offsets where they are given. */
uint64_t tini_caches_plan(const tini_caches *caches, uint64_t *offsets);

tini_kv tini_caches_at(const tini_caches *caches, uint32_t cache, uint32_t head);

/* Whether every cache with a window still holds what token `position` sees, when tokens below `high` were written and
 * those below `restored` came from tini_caches_restore or _copy. */
int tini_caches_hold(const tini_caches *caches, uint32_t position, uint32_t high, uint32_t restored);

/* What the caches hold of the first `count` tokens and of a prefix before them (with a window, of what the next token
 * sees), as bytes that depend on nothing else: bytes of them, writing them, reading them back, and handing them to another
 * session's caches of the same program, type and prefix. None of them is nothing: a prefix alone is not handed on. */
uint64_t tini_caches_saved_bytes(const tini_caches *caches, uint32_t count);
void tini_caches_save(const tini_caches *caches, uint32_t count, uint8_t *out);
void tini_caches_restore(tini_caches *caches, uint32_t count, const uint8_t *in);
void tini_caches_copy(tini_caches *to, const tini_caches *from, uint32_t count);

#endif
