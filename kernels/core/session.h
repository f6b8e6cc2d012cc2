#ifndef TINI_SESSION_H
#define TINI_SESSION_H

#include "answer.h"
#include "model.h"
#include "pass.h"

struct tin_session {
    const tin_model *model;
    tin_session_options options; /* with defaults filled in */
    tini_caches caches;
    tini_states states;
    tini_pass pass;  /* for tin_step; without memory when options.batched */
    int32_t *tokens; /* [options.context]: computed, then queued, then guessed */
    void *scratch;   /* for sampling */

    uint32_t position; /* tokens computed */
    uint32_t again;    /* those below it are computed again for their states, so no logits are due */
    uint32_t count;    /* tokens in all */
    uint32_t guesses;  /* of them, the last ones that may be wrong */
    uint32_t high;     /* positions below it were written since the session was last empty */
    uint32_t restored; /* positions below it were copied or restored, not computed */

    tini_pass *running;        /* the pass that has tokens of this session, its own or a batch's, or NULL */
    uint32_t rows, logit_rows; /* this session's part of it */
    uint32_t wanted;           /* position from which logits of every token are made */
    const float *logits;       /* the newest rows */
    uint32_t ready_rows, ready_first;
    int fresh; /* they were not yet announced */

    /* A generation; see generate.c. */
    int generating;
    int choosing;       /* the next token is to be chosen from the newest logits */
    uint64_t choice_ns; /* what that took last time */
    tin_sampling sampling;
    uint32_t left;            /* tokens that may still be chosen */
    uint32_t told;            /* tokens before it were announced */
    uint32_t lookup, stretch; /* most guesses, and how many the last ones make worth trying */
    int32_t token, finish;
    uint32_t passes; /* that made logits in it */

    tin_constraint *constraint;
    const uint32_t *allowed; /* the mask of the next token, where it was asked for already */
    uint32_t healing;        /* bytes of `prefix` that the next generation begins with */
    uint32_t healed;         /* those of the last one */
    char prefix[TINI_PREFIX_MAX];
};

/* What a session's block keeps for it, whatever a pointer's size: a session takes the same bytes on every machine, so that
 * the memory of a 32-bit device is known where its model is built. */
#define TINI_SESSION_ROOM 1024u
_Static_assert(sizeof(tin_session) <= TINI_SESSION_ROOM, "room of a session");

/* How a pass takes up a session's queue, of which at most `rows` tokens, and at most `logit_rows` with logits: sets
 * session->rows and ->logit_rows and returns the former; 0 when nothing is queued or nothing fits. */
uint32_t tini_session_offer(tin_session *session, uint32_t rows, uint32_t logit_rows);

/* Adds what was offered to the pass: the rows without logits, then, once all sessions have done so, those with. */
void tini_session_add(tin_session *session, tini_pass *pass, int logits);
/* The pass begins, with what was offered. */
void tini_session_begin(tin_session *session, tini_pass *pass);
/* The pass has ended; logits [session->logit_rows][vocab]. */
void tini_session_end(tin_session *session, const float *logits);
/* The pass is dropped. */
void tini_session_drop(tin_session *session);
/* The memory [begin, begin + count) of logits is to be written anew, or given back: what the session has there, it no
 * longer has. */
void tini_session_forget_logits(tin_session *session, const float *begin, size_t count);

/* TIN_STEP_* of what is at hand; PENDING when a pass must run. */
int32_t tini_session_event(tin_session *session);

/* Tokens computed, as the caller sees it. */
static inline uint32_t tini_session_computed(const tin_session *session) {
    return session->position > session->again ? session->position : session->again;
}

/* Tokens that the caller knows of: not those chosen ahead by guesses and not yet announced. */
static inline uint32_t tini_session_known(const tin_session *session) {
    return session->generating ? session->told : session->count;
}

/* Chooses, where that is due, and guesses what follows. 0 when there is no time left for it; where nothing was done yet
 * (worked is 0) it is done all the same. */
int tini_generate_choose(tin_session *session, const tini_budget *budget, int worked);
/* Ends a generation: what was not announced is taken back. STATE when that is under way in a batch. */
tin_status tini_generate_end(tin_session *session, tin_error *error);

/* Sets the session to its first `count` tokens, of which `position` are computed; where their states are not at hand, some
 * are computed again. */
void tini_session_reset(tin_session *session, uint32_t position, uint32_t count);

/* STATE when a batch has the session. */
tin_status tini_session_check_free(const tin_session *session, tin_error *error);
/* STATE when caches with a window no longer hold what going on at `position` needs. */
tin_status tini_session_check_window(const tin_session *session, uint32_t position, tin_error *error);

#endif
