/* The position of an answer in an automaton: the configurations of automaton.h, and sets of them.
 *
 * A configuration is a state (16 bits) and the frame on top of its stack (16 bits above). Stacks form a tree: a
 * frame knows its parent, and equal frames are one frame. So configurations are equal if their numbers are.
 *
 * While tokens are tried, the automaton is made deterministic step by step: a set of configurations is a number,
 * and so is its successor on a byte, once it is computed. */
#ifndef TINI_MATCHER_H
#define TINI_MATCHER_H

#include "automaton.h"

#define TINI_DONE_STATE 0xFFFEu /* a state that accepts, and nothing else */

enum {
    TINI_CONFIGS = 128, /* at once */
    TINI_FRAMES = 4096, /* at once */
    TINI_SETS = 512,    /* of configurations, remembered */
    TINI_CONFIG_POOL = 4096,
    TINI_BUCKETS = 1024, /* a power of two */
    /* Most configurations and calls visited for one mask, or for one token: a fraction of a second. Usual
     * constraints visit a few thousand; a hostile one has tens of thousands of calls in a state. */
    TINI_WORK = 1 << 24,
    TINI_ROOT_FRAME = 0, /* the empty stack */
    TINI_OPEN_FRAME = 1, /* an unknown stack: its continuations are left out */
    TINI_FIXED_FRAMES = 2,
    TINI_NO_FRAME = 0xFFFF
};

typedef struct tini_frame {
    uint32_t call, count;
    uint32_t need; /* tokens of the shortest way to the end of the text from where the call's rule ends now */
    uint16_t parent, depth, next; /* next: in its bucket */
} tini_frame;

/* Configurations, without doubles. */
typedef struct tini_config_list {
    uint32_t count;
    uint32_t items[TINI_CONFIGS];
} tini_config_list;

/* A set is a configuration whose state is plain, or TINI_SET_MARK and above it the number of a tini_set. */
#define TINI_SET_MARK 0xFFFFu
#define TINI_SET_NONE 0xFFFFFFFFu    /* without configurations */
#define TINI_SET_UNKNOWN 0xFFFEFFFFu /* not asked for yet */

typedef struct tini_set {
    uint32_t first; /* in the pool */
    uint32_t distance;
    uint16_t count, next, frames;
    uint8_t open;   /* the rule at the open frame may be complete */
    uint8_t remote; /* the frame above it has been counted far */
    uint8_t inner;  /* completed rules are not followed */
    uint8_t seen;   /* by a walk, which says what */
} tini_set;

typedef struct tini_matcher {
    tini_automaton automaton;
    uint32_t limit;       /* most frames on a stack */
    uint32_t frame_count; /* those above it are taken for new ones */
    tini_frame *frames;   /* [TINI_FRAMES] */
    uint16_t *buckets;    /* [TINI_BUCKETS] */
    uint16_t *moved;      /* [TINI_FRAMES] */
    uint32_t remote;      /* from this count on, a frame on the open one is not followed when it is complete */

    uint32_t set_count, pool_count;
    tini_set *sets;        /* [TINI_SETS] */
    uint16_t *set_buckets; /* [TINI_BUCKETS] */
    uint32_t *pool;        /* [TINI_CONFIG_POOL] */
    uint32_t *rows;        /* [TINI_SETS][1 << row_shift >= classes] sets */
    uint32_t row_shift;

    uint32_t work; /* since it was set to 0 */
    int full;      /* there was no room for a frame or a set */
    int ambiguous; /* there were more than TINI_CONFIGS configurations, or more than TINI_WORK to look at */
} tini_matcher;

static inline uint32_t tini_config(uint32_t state, uint32_t frame) {
    return frame << 16 | state;
}

/* Places the matcher's parts from `memory` on; NULL: only measures. Returns the bytes. */
size_t tini_matcher_place(tini_matcher *m, void *memory);

/* Forgets all frames and sets. */
void tini_matcher_reset(tini_matcher *m);

/* Forgets the sets. */
void tini_sets_reset(tini_matcher *m);

/* The frame with these fields; NO_FRAME where `limit` or the memory does not allow it. */
uint32_t tini_frame_push(tini_matcher *m, uint32_t parent, uint32_t call, uint32_t count);

/* Forgets the frames from `count` on. */
void tini_frames_drop(tini_matcher *m, uint32_t count);

/* Forgets the frames that no configuration of the list has, and renumbers the rest. */
void tini_frames_compact(tini_matcher *m, tini_config_list *list);

/* Tokens of the shortest way from a configuration to the end of the text. */
uint32_t tini_config_distance(const tini_matcher *m, uint32_t config);

/* Adds the configurations that ends of rules lead to without a byte. */
void tini_list_close(tini_matcher *m, tini_config_list *list);

/* Whether the text may end. */
int tini_list_may_end(const tini_matcher *m, const tini_config_list *list);

/* One bit for each byte that can follow; some may lead to frames past the limit. All bits if there is too much
 * to check. */
void tini_list_bytes(tini_matcher *m, const tini_config_list *list, uint32_t bytes[8]);
/* Whether any can. */
int tini_list_can_continue(tini_matcher *m, const tini_config_list *list);

/* The successors of a list on a byte. inner: completed rules of the list itself are not followed. */
void tini_list_step(tini_matcher *m, const uint32_t *configs, uint32_t count, uint32_t byte, int inner,
                    tini_config_list *out);

/* The set of a list; NONE, and m->full, when there is no room. inner: as in step; always a new set. */
uint32_t tini_set_make(tini_matcher *m, tini_config_list *list, int inner);

/* The successor of a set on a byte, from its configurations. */
uint32_t tini_set_step(tini_matcher *m, uint32_t set, uint32_t byte);

#endif
