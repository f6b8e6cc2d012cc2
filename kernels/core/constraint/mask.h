/* Masks: which tokens may follow. What a state allows is walked once and kept. */
#ifndef TINI_MASK_H
#define TINI_MASK_H

#include "matcher.h"

enum {
    TINI_ESCAPES = 128, /* of a cached mask */
    TINI_NEAR = 16      /* a repetition's bounds are out of reach when more than this many are left */
};

/* What a cached mask is of. */
typedef struct tini_mask_key {
    uint32_t state;
    uint32_t
        base; /* TINI_ROOT_FRAME, TINI_OPEN_FRAME, or TINI_FIXED_FRAMES + the call of a frame on the open one */
    uint32_t low, high; /* of that frame: repetitions until its `least` and `most`, at most TINI_NEAR */
} tini_mask_key;

/* The tokens that may follow a state, without what lies below its base, and the nodes of the tree of tokens where that
 * must be asked. */
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

/* What was learned of states. */
enum {
    TINI_NOTE_CHEAP = 1,   /* its mask is quicker made than kept */
    TINI_NOTE_DEEP = 2,    /* its mask must know the frame on top of the stack */
    TINI_NOTE_UNCACHED = 4 /* it must know still more */
};

/* UNSUPPORTED, and why, when the matcher has met its limits. */
tin_status tini_matcher_status(tini_matcher *m, tin_error *error);

/* Tokens in which the text can be ended from here; TINI_NO_END: too many to tell. */
uint32_t tini_constraint_distance(const tin_constraint *c);

#endif
