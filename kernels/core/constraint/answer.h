/* A constraint on its way through an answer: the matcher, the masks of tokens, and what must come next. */
#ifndef TINI_ANSWER_H
#define TINI_ANSWER_H

#include "matcher.h"
#include "../seal/model.h"

enum {
    TINI_PREFIX_MAX = 256,
    TINI_ESCAPES = 128,   /* of a cached mask */
    TINI_NEAR = 16,       /* a repetition's bounds are out of reach when more than this many are left */
    TINI_RUN_MAX = 512,   /* bytes of a forced run */
    TINI_BEFORE_MAX = 64, /* bytes of the text before it that tokens are cut by */
    TINI_RECURSIVE_DEPTH = 64,
    TINI_DEPTH_MAX = 4096,
    TINI_MASKS = 64,
    TINI_MASKS_MAX = 1 << 16
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

struct tin_constraint {
    const tin_model *model;
    tini_matcher matcher;
    const void *owner; /* the session that has it */
    tini_config_list now;
    uint32_t words; /* of a mask: (vocab + 31) / 32 */
    uint32_t *bits; /* the mask that is told */
    uint32_t masks, clock;
    tini_mask *cache; /* [masks + 1]: the last is for what is not worth keeping */
    uint8_t *notes;   /* [states] TINI_NOTE_* */
    uint32_t prefix_length, prefix_at;
    int ended;                 /* an end token was accepted */
    int32_t state;             /* TIN_CONSTRAINT_* */
    uint32_t end_count, *ends; /* tokens that end a generation */
    uint8_t prefix[TINI_PREFIX_MAX];
    /* For forced runs. */
    uint8_t *text;   /* [TINI_BEFORE_MAX + TINI_RUN_MAX] */
    int32_t *tokens; /* [2][TINI_BEFORE_MAX + TINI_RUN_MAX] */
    void *scratch;   /* of the tokenizer */
    size_t scratch_size;
};

/* What was learned of states. */
enum {
    TINI_NOTE_CHEAP = 1, /* its mask is quicker made than kept */
    TINI_NOTE_DEEP = 2,  /* its mask must know the frame on top of the stack */
    TINI_NOTE_WILD = 4   /* it must know still more */
};

/* Bytes that must come before the constraint's own text begins: a part of the healed prefix. */
static inline uint32_t tini_prefix_left(const tin_constraint *c) {
    return c->prefix_length - c->prefix_at;
}

/* UNSUPPORTED, and why, when the matcher has met its limits. */
tin_status tini_matcher_trouble(tini_matcher *m, tin_error *error);

/* A walk over the tree of tokens from a list of configurations on. */
typedef struct tini_walk {
    tini_matcher *m;
    const tini_trie *trie;
    uint32_t *bits;  /* those of tokens that may come are set */
    uint32_t bound;  /* the largest distance after a token; UINT32_MAX: none */
    tini_mask *mask; /* NULL: what goes beyond its base is not kept */
    int stop;        /* at the first token */

    uint32_t found, visited; /* with stop: not 0 when there was a token; nodes */
    const tini_config_list *start;
    uint32_t first, floor; /* the set of `start`; the frames that were there before */
    int inner;
    uint32_t sets[TINI_TRIE_LONGEST + 1]; /* along the way to a node, by depth */
    uint8_t bytes[TINI_TRIE_LONGEST + 1];
} tini_walk;

/* Each returns 0 when the matcher has met its limits. `start` must stay until the end. inner: rules that `start` itself
 * completes are not followed. */
int tini_walk_begin(tini_walk *w, const tini_config_list *start, int inner);

/* Over the nodes [first, end), which lie below one at `depth` where `start` is. */
int tini_walk_on(tini_walk *w, uint32_t first, uint32_t end, uint32_t depth);

/* Lets go of what the walk has made. */
void tini_walk_end(tini_walk *w);

/* All of it, over the whole tree. */
int tini_walk_all(tini_walk *w, const tini_config_list *start, int inner);

#endif
