/* Masks: the allowed tokens. The walk of a state is done once and cached. */
#ifndef TINI_MASK_H
#define TINI_MASK_H

#include "matcher.h"

enum {
    TINI_ESCAPES = 128, /* of a cached mask */
    TINI_NEAR = 16      /* a repetition's bounds are out of reach when more than this many are left */
};

/* The key of a cached mask. */
typedef struct tini_mask_key {
    uint32_t state;
    uint32_t
        base; /* TINI_ROOT_FRAME, TINI_OPEN_FRAME, or TINI_FIXED_FRAMES + the call of a frame on the open one */
    uint32_t low, high; /* of that frame: repetitions until its `least` and `most`, at most TINI_NEAR */
} tini_mask_key;

/* The tokens allowed in a state, independent of the stack below its base, and the trie nodes where that stack
 * decides. */
typedef struct tini_mask {
    tini_mask_key key;
    uint32_t used; /* when; 0: never */
    uint32_t peak; /* the largest distance after one of the tokens, and the most frames */
    uint32_t frames;
    uint32_t need;                  /* of the base */
    uint32_t visited;               /* nodes */
    uint32_t escape_count;          /* TINI_ESCAPES + 1: too many */
    uint32_t escapes[TINI_ESCAPES]; /* node * 2, + 1 where the base was counted far */
    uint32_t *bits;                 /* [words] */
} tini_mask;

/* Notes on states. */
enum {
    TINI_NOTE_CHEAP = 1,   /* computing its mask is faster than caching it */
    TINI_NOTE_DEEP = 2,    /* its mask depends on the top frame of the stack */
    TINI_NOTE_UNCACHED = 4 /* it depends on deeper frames too */
};

/* UNSUPPORTED, with the reason, if the matcher has reached its limits. */
tin_status tini_matcher_status(tini_matcher *m, tin_error *error);

/* Tokens needed to end the text from here; TINI_NO_END: too many to count. */
uint32_t tini_constraint_distance(const tin_constraint *c);

#endif
