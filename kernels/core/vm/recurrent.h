/* A session's recurrent states: an op with a state stores all tokens before it there, as attention does in a
 * cache.
 *
 * A state can't be cut back to fewer tokens. So a session has several slots, each with all states after some
 * number of tokens. A pass reads the slot of the tokens before it and writes two others: one with the state
 * after the pass's last token, one with the state before it, so that rewinding by one token is free. Keeping
 * more states costs no copies: it only decides which slots are written next, those whose loss costs the least
 * recomputation. A dropped pass leaves the slot that it came from, unless there were too few and it had to be
 * overwritten.
 *
 * If the pass's last tokens are drafts, the other slot has the state before the first of them. A session rewinds
 * to it, and computes the right ones again with the tokens that follow. */
#ifndef TINI_RECURRENT_H
#define TINI_RECURRENT_H

#include "../base/kernel.h"
#include "program.h"

#define TINI_MOST_CHECKPOINTS 62u

typedef struct tini_states {
    const tini_program *program;
    const uint8_t *first; /* a slot's bytes before the first token; NULL: all zeros */
    uint8_t *base;        /* [slots][bytes]: in a slot, the program's states one after the other */
    uint32_t *at;         /* [slots] how many tokens each state covers; TINI_NONE: unused */
    uint64_t bytes;       /* of a slot, a multiple of TIN_ALIGNMENT; 0 where the program has no states */
    uint32_t slots;       /* 2 to 64 */
    uint64_t ends; /* one bit a slot: its state is from a prompt's end, or from where tokens were forgotten */
    /* Of the current pass. from: the slot that it reads (TINI_NONE: `first`). work: the slot that its first
     * `sure` rows write (TINI_NONE: no such rows before the last). to: the slot that the others write. row,
     * rows: the session's rows, first those without logits. */
    uint32_t from, work, to, sure;
    uint32_t row[2], rows[2];
    int drafted; /* the rows behind the first `sure` are drafts */
} tini_states;

/* Elements of a state: [heads][columns / 16][rows][16] float32, so that a tile of 16 columns is contiguous. */
static inline uint64_t tini_state_floats(const tini_state *state) {
    return (uint64_t)state->heads * state->rows * state->columns;
}

/* Bytes of one copy of all states of a program. */
uint64_t tini_states_bytes(const tini_program *program);

float *tini_states_at(const tini_states *states, uint32_t slot, uint32_t state);
/* The state before the first token; NULL for zeros. */
const float *tini_states_first(const tini_states *states, uint32_t state);

/* A state after `position` tokens; NULL if there is none. */
const float *tini_states_of(const tini_states *states, uint32_t position, uint32_t state);

/* The largest number of tokens, up to `position`, that has states; 0 always has. Without states, `position`. */
uint32_t tini_states_newest(const tini_states *states, uint32_t position);

/* Forgets the states of tokens from `position` on. */
void tini_states_forget(tini_states *states, uint32_t position);

/* Whether there are enough slots that a wrong draft, or a dropped pass, costs no more than the drafts. */
static inline int tini_states_may_draft(const tini_states *states) {
    return !states->bytes || states->slots > 2;
}

/* Begin: a pass of `rows` tokens from `position` on, the last of them drafts. End: it brought the session to
 * `position`; end_of_text: its tokens, except drafts, end a text. */
void tini_states_begin(tini_states *states, uint32_t position, uint32_t rows, uint32_t drafts);
void tini_states_end(tini_states *states, uint32_t position, int end_of_text);

/* The states after `position` tokens, which exist, as bytes that depend on nothing else; none at position 0.
 * Restoring, and copying to another session's states of the same program, forget all other states there. */
uint64_t tini_states_saved_bytes(const tini_states *states, uint32_t position);
void tini_states_save(const tini_states *states, uint32_t position, uint8_t *out);
void tini_states_restore(tini_states *states, uint32_t position, const uint8_t *in);
void tini_states_copy(tini_states *to, const tini_states *from, uint32_t position);

#endif
