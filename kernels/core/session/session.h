/* A conversation on a model: computed tokens, queued tokens, and a generation. Passes, its own or a batch's,
 * compute the queue; generate.c chooses the next tokens. */
#ifndef TINI_SESSION_H
#define TINI_SESSION_H

#include "../constraint/constraint.h"
#include "../seal/model.h"
#include "../vm/pass.h"

/* The phase of a session. */
enum {
    TINI_READING = 0, /* the tokens are the caller's */
    TINI_CHOOSING,    /* generating: a choice is due, from present logits or of a forced token */
    TINI_FOLLOWING    /* generating: chosen tokens, or the end, are computed or announced */
};

/* The newest logits, of the tokens at first .. first + rows - 1. Only tini_session_end adds rows; other
 * functions only drop them, so dropped rows never return. */
typedef struct tini_ready {
    float *logits;         /* [rows][vocab] */
    uint32_t first, rows;  /* rows 0: there are none, and the other fields mean nothing */
    const tini_pass *pass; /* that computed them; valid until it begins again, even for other sessions */
    uint32_t serial;       /* of the pass when it made them */
    int fresh;             /* not yet announced */
    int partial;           /* no logits for forbidden tokens: only the constraint's next choice may use them */
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
    uint64_t adapted; /* hash of them, 0 for none */
    uint64_t shape;   /* as `adapted`, of the adapters at its computation; another one after TIN_ADAPTER_KEEP */
    uint32_t position;      /* tokens computed */
    uint32_t recompute_end; /* tokens below it are computed again for their states, without logits */
    uint32_t count;         /* tokens in all */
    uint32_t drafts;        /* of them, the last ones that may be wrong */
    uint32_t written_end;   /* positions below it were written since the session was last empty */
    uint32_t restored;      /* positions below it were copied or restored, not computed */

    tini_pass *running;        /* the pass with its tokens: its own, a batch's or a predictor's; or NULL */
    uint32_t rows, logit_rows; /* this session's rows of it */
    int stale;                 /* its logits belong to a generation that has ended since */
    uint32_t wanted;           /* position from which every token gets logits */
    tini_ready ready;

    /* A generation; see generate.c. */
    int32_t phase;
    uint64_t chosen_ns;     /* time of the last choice, including its mask */
    uint64_t choice_ns;     /* of earlier choices; see generate.c */
    double log_probability; /* of its choices */
    tin_sampling sampling;
    struct tini_record *record; /* of its choices, or NULL */
    uint32_t left;              /* tokens that may still be chosen */
    uint32_t announced;         /* tokens before this one were announced */
    uint32_t certain;           /* of a search: tokens before this one may be announced */
    /* Drafts; see speculate.c. */
    uint64_t forced_drafts;           /* bit k: draft k is forced if the drafts before it are right */
    struct tini_drafter *drafter;     /* NULL with one row of logits: no room for drafts */
    struct tini_predictor *predictor; /* NULL if the model lacks the layer, or the session room */
    int predicted;                    /* TINI_PREDICTION_NONE or more, see predictor.h */
    int32_t predicted_token;          /* with TINI_PREDICTION_PROBED, the predictor's draft */
    int32_t lookup_token;             /* the next token by prompt lookup; -1: none */
    uint32_t acceptance;              /* of 256, how often prompt lookup was right */
    uint32_t beside, row_cost;        /* of its last pass: the sessions in it, and tini_pass_row_cost */
    uint32_t lookup, draft_length;    /* most drafts by lookup, and how many to try after the last results */
    uint32_t pause, pause_left;       /* passes without lookup after wrong drafts, and how many remain */
    int drafted;                      /* the last drafts were the table's */
    int32_t token, finish;
    int32_t limit_finish;       /* TIN_FINISH_*: of the limit that changed a choice */
    int32_t end;                /* the token that ended the generation; -1: none was chosen */
    struct tini_search *search; /* for best-first constrained search, or NULL; see search.h */
    uint32_t event_position;    /* of the last event's token, or of the end; TINI_NONE: another event */
    uint32_t passes;            /* of the generation that made logits */

    tin_constraint *constraint;
    const uint32_t *allowed; /* the mask of the next token, if it is computed already */
    uint32_t healing;        /* bytes of `prefix` that the next generation begins with */
    uint32_t healed;         /* those of the last one */
    char prefix[TINI_PREFIX_MAX];
};

/* Bytes planned for a tin_session, independent of a pointer's size. So a session takes the same bytes on every
 * machine: a build knows the memory of a 32-bit device. */
#define TINI_SESSION_ROOM 1344u
_Static_assert(sizeof(tin_session) <= TINI_SESSION_ROOM, "room of a session");

/* Offers queued tokens to a pass: at most `rows`, of which at most `logit_rows` with logits. Sets session->rows and
 * ->logit_rows and returns session->rows; 0 if nothing is queued or nothing fits. */
uint32_t tini_session_offer(tin_session *session, uint32_t rows, uint32_t logit_rows);

/* The fewest rows that a pass needs: 1, or all rows of the next image if they attend to each other. */
uint32_t tini_session_least(const tin_session *session);

/* Adds the offered tokens to the pass: first, for all sessions, the rows without logits, then those with. */
void tini_session_add(tin_session *session, tini_pass *pass, int logits);
/* Begins the pass with the offered tokens, and tells it which logits they need. */
void tini_session_begin(tin_session *session, tini_pass *pass);
/* Ends the pass; logits [session->logit_rows][vocab]. */
void tini_session_end(tin_session *session, float *logits);
/* Drops the pass. */
void tini_session_drop(tin_session *session);

/* The logits of the token at `position`, [vocab]; NULL if there are none. */
float *tini_session_row(const tin_session *session, uint32_t position);
/* Drop logits: of the tokens from `end` on; of those before `first`; all. */
void tini_session_keep_rows(tin_session *session, uint32_t end);
void tini_session_skip_rows(tin_session *session, uint32_t first);
void tini_session_drop_logits(tin_session *session);

/* The next event, TIN_STEP_*; PENDING if a pass must run. */
int32_t tini_session_event(tin_session *session);

/* How many tokens the context has room for behind the first `at`. All code that adds tokens asks here. */
static inline uint32_t tini_session_room(const tin_session *session, uint32_t at) {
    uint32_t context = session->options.context - session->caches.before;
    return at < context ? context - at : 0;
}

/* How many tokens a generation may still choose at tokens[at], with `ahead` drafts before it. */
static inline uint32_t tini_tokens_left(const tin_session *session, uint32_t at, uint32_t ahead) {
    uint32_t left = ahead < session->left ? session->left - ahead : 0, room = tini_session_room(session, at);
    return left < room ? left : room;
}

/* Tokens computed, from the caller's view. */
static inline uint32_t tini_session_computed(const tin_session *session) {
    return session->position > session->recompute_end ? session->position : session->recompute_end;
}

/* Tokens that the caller knows: without drafts' choices that are not announced. */
static inline uint32_t tini_session_known(const tin_session *session) {
    return session->phase == TINI_READING ? session->count : session->announced;
}

/* Cuts the session to its first `count` tokens, `position` of them computed. If their states are missing, some
 * are computed again. */
void tini_session_reset(tin_session *session, uint32_t position, uint32_t count);

/* The position, at most `position`, from which computing can continue: it has a state, and does not cut an image
 * whose rows attend to each other. */
uint32_t tini_session_resume_point(const tin_session *session, uint32_t position);

/* Queues the token at `position`, the last computed one, again, for its logits. */
void tini_session_recompute(tin_session *session, uint32_t position);

/* Cuts the computed tokens at `position`, or before it where there are states. */
void tini_session_rewind(tin_session *session, uint32_t position);

/* Drops the results of wrong drafts, and everything behind them; the session continues from a state that it has. */
void tini_session_drop_drafts(tin_session *session);

/* Drops a requested or unfinished draft of its own predictor. A batch's predictor then does not append its
 * draft. */
void tini_session_cancel_prediction(tin_session *session);

/* STATE if a batch has the session. */
tin_status tini_session_check_free(const tin_session *session, tin_error *error);
/* MEMORY if there is no room for so many images and rows in all. ARGUMENT if the widest image exceeds a pass of the
 * session, and its rows attend to each other. */
tin_status tini_session_check_tiles(const tin_session *session, uint32_t tiles, uint32_t rows, uint32_t widest,
                                    tin_error *error);
/* STATE if caches with a window have lost positions that computing from `position` needs. */
tin_status tini_session_check_window(const tin_session *session, uint32_t position, tin_error *error);

#endif
