/* A conversation on a model: what it computed, what is queued, and the generation under way. Passes, its own or
 * a batch's, take up its queue; generate.c chooses what follows. */
#ifndef TINI_SESSION_H
#define TINI_SESSION_H

#include "../constraint/constraint.h"
#include "../seal/model.h"
#include "../vm/pass.h"

/* What a session does with its tokens. */
enum {
    TINI_READING = 0, /* they are the caller's */
    TINI_CHOOSING,    /* generating: the next is due, by the logits at hand or because it must come */
    TINI_FOLLOWING    /* generating: those chosen are computed, announced, or its end is */
};

/* The newest logits: those of the tokens at first .. first + rows - 1. Only tini_session_end makes there be any;
 * the others can but give them up, so what was given up never comes back. */
typedef struct tini_ready {
    float *logits;        /* [rows][vocab] */
    uint32_t first, rows; /* rows 0: there are none, and the rest means nothing */
    const tini_pass
        *pass;       /* that made them; they last until it begins again, which it may for other sessions */
    uint32_t serial; /* of the pass when it made them */
    int fresh;       /* they were not yet announced */
    int partial;     /* tokens that a constraint did not allow have none: for its next choice alone */
} tini_ready;

struct tin_session {
    const tin_model *model;
    tin_session_options options; /* with defaults filled in */
    tini_caches caches;
    tini_states states;
    tini_pass pass;   /* for tin_step; without memory when options.batched */
    tini_input input; /* its tokens [options.context]: computed, then queued, then drafted */
    void *scratch;    /* for sampling */

    tini_adapters adapters;
    uint64_t adapted;       /* hash of them, 0 for none */
    uint64_t shape;         /* of those under which it was computed: `adapted`, but where some was kept */
    uint32_t position;      /* tokens computed */
    uint32_t recompute_end; /* those below it are computed again for their states, so no logits are due */
    uint32_t count;         /* tokens in all */
    uint32_t drafts;        /* of them, the last ones that may be wrong */
    uint32_t written_end;   /* positions below it were written since the session was last empty */
    uint32_t restored;      /* positions below it were copied or restored, not computed */

    tini_pass *running; /* the pass, or a predictor's, that has tokens of it, its own or a batch's, or NULL */
    uint32_t rows, logit_rows; /* this session's part of it */
    int stale;                 /* its logits are for a generation that has ended since */
    uint32_t wanted;           /* position from which logits of every token are made */
    tini_ready ready;

    /* A generation; see generate.c. */
    int32_t phase;
    uint64_t chosen_ns;     /* what choosing took last time, and its mask */
    uint64_t choice_ns;     /* and what before; see generate.c */
    double log_probability; /* of its choices */
    tin_sampling sampling;
    struct tini_record *record; /* of its choices, or NULL */
    uint32_t left;              /* tokens that may still be chosen */
    uint32_t announced;         /* tokens before this one were announced */
    uint32_t certain;           /* of a search: those before this one may be */
    /* Drafts; see speculate.c. */
    uint64_t
        forced_drafts; /* bit k: nothing else may come there than draft k, where those before it are right */
    struct tini_drafter *drafter;     /* NULL where there is one row of logits: no room for drafts */
    struct tini_predictor *predictor; /* NULL where the model has no layer for it, or the session no room */
    int predicted;                    /* TINI_PREDICTION_NONE or more, see predictor.h */
    int32_t predicted_token;          /* with TINI_PREDICTION_PROBED, the predictor's draft */
    int32_t lookup_token;             /* by what followed earlier the next token is this one; -1: nothing did */
    uint32_t acceptance;              /* of 256, how often that came true */
    uint32_t beside, row_cost;        /* of its last pass: the sessions in it, and tini_pass_row_cost */
    uint32_t lookup, draft_length;    /* most others, and how many the last ones make worth trying */
    uint32_t pause, pause_left;       /* how often to leave them out after bad luck, and how often still */
    int drafted;                      /* the last ones were the table's */
    int32_t token, finish;
    int32_t
        limit_finish; /* TIN_FINISH_*: a token was chosen because another one could not have ended in time */
    int32_t end;      /* that the generation was ended by; -1: none was chosen */
    struct tini_search *search; /* what it may look for the likeliest answer with, or NULL; see search.h */
    uint32_t event_position; /* where the last event's token stands, the end's too; TINI_NONE: it was of none */
    uint32_t passes;         /* that made logits in it */

    tin_constraint *constraint;
    const uint32_t *allowed; /* the mask of the next token, where it was asked for already */
    uint32_t healing;        /* bytes of `prefix` that the next generation begins with */
    uint32_t healed;         /* those of the last one */
    char prefix[TINI_PREFIX_MAX];
};

/* What a session's block keeps for it, whatever a pointer's size: a session takes the same bytes on every
 * machine, so that the memory of a 32-bit device is known where its model is built. */
#define TINI_SESSION_ROOM 1344u
_Static_assert(sizeof(tin_session) <= TINI_SESSION_ROOM, "room of a session");

/* How a pass takes up a session's queue, of which at most `rows` tokens, and at most `logit_rows` with logits: sets
 * session->rows and ->logit_rows and returns the former; 0 when nothing is queued or nothing fits. */
uint32_t tini_session_offer(tin_session *session, uint32_t rows, uint32_t logit_rows);

/* How many rows a pass must have for any of them: 1, or those of the image that comes next, where they see each
 * other. */
uint32_t tini_session_least(const tin_session *session);

/* Adds what was offered to the pass: the rows without logits, then, once all sessions have done so, those with. */
void tini_session_add(tin_session *session, tini_pass *pass, int logits);
/* The pass begins, with what was offered; it learns which logits that is for. */
void tini_session_begin(tin_session *session, tini_pass *pass);
/* The pass has ended; logits [session->logit_rows][vocab]. */
void tini_session_end(tin_session *session, float *logits);
/* The pass is dropped. */
void tini_session_drop(tin_session *session);

/* The logits of the token at `position`, [vocab]; NULL when they are not at hand. */
float *tini_session_row(const tin_session *session, uint32_t position);
/* Gives up those of the tokens from `end` on; of those before `first`; all of them. */
void tini_session_keep_rows(tin_session *session, uint32_t end);
void tini_session_skip_rows(tin_session *session, uint32_t first);
void tini_session_drop_logits(tin_session *session);

/* TIN_STEP_* of what is at hand; PENDING when a pass must run. */
int32_t tini_session_event(tin_session *session);

/* How many tokens the context has room for behind the first `at`. Whatever takes tokens asks here. */
static inline uint32_t tini_session_room(const tin_session *session, uint32_t at) {
    uint32_t context = session->options.context - session->caches.before;
    return at < context ? context - at : 0;
}

/* How many tokens a generation may still choose at tokens[at], where `ahead` of those before it are drafts. */
static inline uint32_t tini_tokens_left(const tin_session *session, uint32_t at, uint32_t ahead) {
    uint32_t left = ahead < session->left ? session->left - ahead : 0, room = tini_session_room(session, at);
    return left < room ? left : room;
}

/* Tokens computed, as the caller sees it. */
static inline uint32_t tini_session_computed(const tin_session *session) {
    return session->position > session->recompute_end ? session->position : session->recompute_end;
}

/* Tokens that the caller knows of: not those chosen ahead by drafts and not yet announced. */
static inline uint32_t tini_session_known(const tin_session *session) {
    return session->phase == TINI_READING ? session->count : session->announced;
}

/* Sets the session to its first `count` tokens, of which `position` are computed; where their states are not at
 * hand, some are computed again. */
void tini_session_reset(tin_session *session, uint32_t position, uint32_t count);

/* Where what is computed up to `position` can be gone on from, at most there: a state is at hand, and an image
 * whose rows see each other is not cut. */
uint32_t tini_session_resume_point(const tin_session *session, uint32_t position);

/* The token at `position`, the last computed, is computed again, for its logits. */
void tini_session_recompute(tin_session *session, uint32_t position);

/* What is computed ends at `position`, or where states are at hand before it. */
void tini_session_rewind(tin_session *session, uint32_t position);

/* What was computed of wrong drafts, and behind them, is forgotten, and the session goes on from a state that it
 * has. */
void tini_session_drop_drafts(tin_session *session);

/* A draft of its own predictor that is wished for or under way is given up; one of a batch's is not put. */
void tini_session_cancel_prediction(tin_session *session);

/* STATE when a batch has the session. */
tin_status tini_session_check_free(const tin_session *session, tin_error *error);
/* MEMORY when there is no room for so many images, with so many rows in all; ARGUMENT when the one with the most
 * is too wide for a pass of the session, where its rows see each other. */
tin_status tini_session_check_tiles(const tin_session *session, uint32_t tiles, uint32_t rows, uint32_t widest,
                                    tin_error *error);
/* STATE when caches with a window no longer hold what going on at `position` needs. */
tin_status tini_session_check_window(const tin_session *session, uint32_t position, tin_error *error);

#endif
