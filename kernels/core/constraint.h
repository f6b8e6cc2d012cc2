/* A compiled constraint: a push-down automaton over bytes, used where it lies in memory.
 *
 * constraint.bin, little-endian, its parts one after the other without gaps, written by compiler/constraint/:
 *
 *   header    tini_constraint_header (64 bytes)
 *   class_of  uint8[256]                      bytes of one class are alike in every state
 *   states    tini_constraint_state[states]
 *   calls     tini_constraint_call[calls]     those of a state are consecutive
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
#ifndef TINI_CONSTRAINT_H
#define TINI_CONSTRAINT_H

#include "../include/tin.h"

#define TINI_CONSTRAINT_MAGIC 0x4E4F4354u /* "TCON" */
#define TINI_CONSTRAINT_VERSION 1u
#define TINI_NO_STATE 0xFFFFu
#define TINI_NO_END 0xFFFFFFFFu

typedef struct tini_constraint_header {
    uint32_t magic, version;
    uint32_t states, classes, calls;
    uint32_t start;    /* the first state */
    uint32_t depth;    /* most frames on the stack; TINI_NO_END where recursion has no bound */
    uint32_t shortest; /* bytes of the shortest text; that is the first state's distance */
    uint32_t reserved[8];
} tini_constraint_header;

typedef struct tini_constraint_state {
    uint32_t first_call;
    uint16_t call_count;
    uint16_t accepts;  /* 1: the rule, or the whole text, may end here */
    uint32_t distance; /* bytes of the shortest way to a state that accepts, calls and what they contain included */
} tini_constraint_state;

typedef struct tini_constraint_call {
    uint32_t enter, leave; /* states: the called rule's first, and where to go on after it */
    uint32_t least, most;  /* how often the rule is repeated, 1 <= least <= most; TINI_NO_END: without end */
    uint32_t first[8];     /* one bit a byte: those that the rule can begin with */
} tini_constraint_call;

#endif
