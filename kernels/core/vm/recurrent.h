/* A session's recurrent states: what an op with a state keeps of all tokens before, where attention keeps a cache.
 *
 * A state can't be cut back to fewer tokens, so a session holds several slots, each with all states as they are after some
 * number of tokens. A pass reads the slot of the tokens before it and writes two others: one has the state after the
 * pass's last token, one that before it, so that going back by one token is free. What else is kept costs no copying: it
 * is a matter of which slots are written next, and those are taken whose loss makes the least to compute again. A pass that
 * is dropped leaves the slot it came from, unless there were too few and it had to be written over.
 *
 * Where the pass's last tokens are drafts, the other slot has the state before the first of these: a session goes back to
 * that, and computes those that were right once more with what follows. */
#ifndef TINI_RECURRENT_H
#define TINI_RECURRENT_H

#include "../base/kernel.h"
#include "program.h"

#define TINI_MOST_CHECKPOINTS 62u

typedef struct tini_states {
    const tini_program *program;
    const uint8_t *first; /* a slot's bytes before the first token; NULL: all zeros */
    uint8_t *base;        /* [slots][bytes]: in a slot, the program's states one after the other */
    uint32_t *at;         /* [slots] how many tokens each has seen; TINI_NONE: nothing of use */
    uint64_t bytes;       /* of a slot, a multiple of TIN_ALIGNMENT; 0 where the program has no states */
    uint32_t slots;       /* 2 to 64 */
    uint64_t ends; /* one bit a slot: its state is where a prompt ended, or where tokens were forgotten */
    /* Of the pass under way: the slot that it began with (TINI_NONE: `first`), the one that its first `sure` rows write
     * (TINI_NONE: none are before the last), and the one that the others write; and the session's rows, first those without
     * logits. */
    uint32_t from, work, to, sure;
    uint32_t row[2], rows[2];
    int drafted; /* the rows behind the first `sure` are drafts */
} tini_states;

/* Elements of a state: [heads][columns / 16][rows][16] float32, so that a tile of 16 columns lies together. */
static inline uint64_t tini_state_floats(const tini_state *state) {
    return (uint64_t)state->heads * state->rows * state->columns;
}

/* Bytes of all states of a program, once. */
uint64_t tini_states_bytes(const tini_program *program);

float *tini_states_at(const tini_states *states, uint32_t slot, uint32_t state);
/* That before the first token; NULL for zeros. */
const float *tini_states_first(const tini_states *states, uint32_t state);

/* A state after `position` tokens; NULL where those are not at hand. */
const float *tini_states_of(const tini_states *states, uint32_t position, uint32_t state);

/* The most tokens, up to `position`, whose states are at hand; 0 always is. Without states, `position`. */
uint32_t tini_states_newest(const tini_states *states, uint32_t position);

/* The tokens from `position` on are no longer the session's. */
void tini_states_forget(tini_states *states, uint32_t position);

/* Whether there are slots enough that a wrong draft, and a dropped pass, cost no more than the drafts. */
static inline int tini_states_may_draft(const tini_states *states) {
    return !states->bytes || states->slots > 2;
}

/* A pass of `rows` tokens from `position` on begins, the last of them drafts; it has ended, and brought the session to
 * `position`. end_of_text: what is no draft ends a text. */
void tini_states_begin(tini_states *states, uint32_t position, uint32_t rows, uint32_t drafts);
void tini_states_end(tini_states *states, uint32_t position, int end_of_text);

/* The states after `position` tokens, which are at hand, as bytes that depend on nothing else; none at position 0. Reading
 * them back and handing them to another session's states of the same program forget all others there. */
uint64_t tini_states_saved_bytes(const tini_states *states, uint32_t position);
void tini_states_save(const tini_states *states, uint32_t position, uint8_t *out);
void tini_states_restore(tini_states *states, uint32_t position, const uint8_t *in);
void tini_states_copy(tini_states *to, const tini_states *from, uint32_t position);

#endif
