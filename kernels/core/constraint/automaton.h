/* A compiled constraint: a push-down automaton over bytes, read in place. Nothing that it says is believed
 * once it is opened.
 *
 * constraint.bin, little-endian, its parts one after the other without gaps, written by constraint/:
 *
 *   header    tini_constraint_header (64 bytes)
 *   class_of  uint8[256]                      bytes of one class are alike in every state
 *   states    tini_constraint_state[states]
 *   calls     tini_constraint_call[calls]     of the first state, then of the second, and so on
 *   words     uint32[words]                   that questions of the training data have, ascending: session/cover.h
 *   copies    tini_constraint_copy[copies]    by key, ascending: session/cover.h
 *   next      uint16[states][classes]         the state after a byte, or TINI_NO_STATE
 *
 * A configuration is a state and a stack of frames (call, how often it was completed). On a byte b, the
 * configurations that follow (state s, stack) are all of these:
 *
 *   1. next[s][class_of[b]], with the stack as it is
 *   2. for each call c of s with b in c.first: what follows (c.enter, stack + frame (c, 0)) on b
 *   3. where s accepts and the stack has a top frame (c, n): n + 1 repetitions are complete, and
 *      a. if n + 1 < c.most, and b in c.first: what follows (c.enter, stack with the frame (c, n + 1) on top) on b
 *      b. if n + 1 >= c.least: what follows (c.leave, stack without the frame) on b
 *
 * The text may end where 3 without a byte leads to a state that accepts with an empty stack. The compiler guarantees,
 * and loading checks, that 2 ends: no c.enter accepts, and no chain of calls without a byte leads back to a state.
 * Counts saturate at `least` where `most` is TINI_NO_END.
 *
 * A control token, which is no text, is four bytes: 0xFF, then its id in 24 bits, the high byte first.
 */
#ifndef TINI_AUTOMATON_H
#define TINI_AUTOMATON_H

#include "../../include/tin.h"

struct tini_trie;

#define TINI_CONSTRAINT_MAGIC 0x4E4F4354u /* "TCON" */
#define TINI_CONSTRAINT_VERSION 1u
#define TINI_CONSTRAINT_SEARCHES 2u /* version 1 but for `search`, which a runtime of before would not obey */
#define TINI_CONSTRAINT_COVERS \
    3u /* version 2 but for `words` and `cost`, which likewise, and another share of a choice */
#define TINI_NO_STATE 0xFFFFu
#define TINI_NO_END 0xFFFFFFFFu

typedef struct tini_constraint_header {
    uint32_t magic, version;
    uint32_t states, classes, calls;
    uint32_t start;    /* the first state */
    uint32_t depth;    /* most frames on the stack; TINI_NO_END where recursion has no bound */
    uint32_t shortest; /* bytes of the shortest text; that is the first state's distance */
    /* From TINI_CONSTRAINT_SEARCHES on: how often choices are taken back for a likelier answer. */
    uint32_t search;
    /* From TINI_CONSTRAINT_COVERS on, else 0: known words, and what leaving out one of the question that is none of them
     * costs an answer; 256 make a natural logarithm. */
    uint32_t words, cost;
    uint32_t copies; /* likewise: keys whose values stand in the question */
    uint32_t reserved[4];
} tini_constraint_header;

/* A key of JSON, and what a value of it that does not stand in the question costs, as `cost` counts. */
typedef struct tini_constraint_copy {
    uint32_t key, cost;
} tini_constraint_copy;

/* Maximum backtracks of the best-first search; 0: tokens are chosen greedily. */
static inline uint32_t tini_constraint_search(const tini_constraint_header *header) {
    return header->version >= TINI_CONSTRAINT_SEARCHES ? header->search : 0;
}

/* A natural logarithm; 0: no word costs anything. */
static inline double tini_constraint_cost(const tini_constraint_header *header) {
    return header->version >= TINI_CONSTRAINT_COVERS ? header->cost / 256.0 : 0;
}

/* Whether a choice is weighed among what may come and what is likely (session/search.h), and not among all tokens. */
static inline int tini_constraint_likely(const tini_constraint_header *header) {
    return header->version >= TINI_CONSTRAINT_COVERS;
}

typedef struct tini_constraint_state {
    uint32_t first_call; /* behind those of the states before */
    uint16_t call_count;
    uint16_t accepts; /* 1: the rule, or the whole text, may end here */
    uint32_t
        distance; /* bytes of the shortest way to a state that accepts, calls and what they contain included */
} tini_constraint_state;

typedef struct tini_constraint_call {
    uint32_t enter, leave; /* states: the called rule's first, and the successor of the call */
    uint32_t least, most;  /* how often the rule is repeated, 1 <= least <= most; TINI_NO_END: without end */
    uint32_t first[8];     /* one bit a byte: those that the rule can begin with */
} tini_constraint_call;

/* A view of constraint.bin; `data` must stay readable and unchanged as long as it is used. */
typedef struct tini_automaton {
    const tini_constraint_header *header;
    const uint8_t *class_of;
    const tini_constraint_state *states;
    const tini_constraint_call *calls;
    const uint32_t *words;
    const tini_constraint_copy *copies;
    const uint16_t *next;
    uint8_t *kinds;   /* [states] TINI_STATE_* */
    uint8_t *loops;   /* [states] the kinds of bytes, as the tree of tokens has them, that change nothing */
    uint16_t *frames; /* [states] how many frames the shortest way to the end of the state's rule pushes */
    uint32_t *
        needs; /* [states] tokens in which that way can be gone, at most its bytes; TINI_NO_END: too many to tell */
} tini_automaton;

enum {
    TINI_STATE_PLAIN = 1, /* bytes are all that matters: neither accepts nor calls, and needs no frame */
    TINI_STATE_END = 2    /* accepts, and nothing else */
};

/* Checks every size, count, state, class and call of data[size] (aligned to 4 bytes) and fills the view, but for
 * kinds, loops and frames. Errors: ARGUMENT, FORMAT, VERSION. */
tin_status tini_automaton_open(tini_automaton *view, const uint8_t *data, size_t size, tin_error *error);

/* Checks that no chain of calls leads back to a state without a byte, and that every state's distance is that of a way
 * there is. Fills kinds, loops, frames and needs, for which the caller has set the memory. trie: checked. cursors: [states],
 * todo: [states], for the work, which is in proportion to the data. Errors: FORMAT. */
tin_status tini_automaton_check(const tini_automaton *view, const struct tini_trie *trie, uint16_t *cursors,
                                uint32_t *todo, tin_error *error);

/* Saturating: TINI_NO_END is too many to tell. */
static inline uint32_t tini_add(uint32_t a, uint32_t b) {
    return a > TINI_NO_END - b ? TINI_NO_END : a + b;
}

static inline uint32_t tini_times(uint32_t a, uint32_t b) {
    uint64_t product = (uint64_t)a * b;
    return product < TINI_NO_END ? (uint32_t)product : TINI_NO_END;
}

/* A call that needs no frame, since nothing but its own rule's end can follow it. */
static inline int tini_is_tail(const tini_automaton *view, const tini_constraint_call *call) {
    return call->most == 1 && (view->kinds[call->leave] & TINI_STATE_END);
}

#endif
