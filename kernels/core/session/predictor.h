/* Drafts of a model's multi-token-prediction layer. From the last chosen token and the hidden state behind that
 * choice, the layer's program computes logits of the token after it. The next pass checks this draft like any
 * other.
 *
 * The layer attends to all tokens before. The model's own program fills its cache and state: the last of its
 * caches is the layer's, and the last of its states is the hidden state of the newest token. So rewinding,
 * saving and copying a session need no code for the layer.
 *
 * A predictor belongs to a session, or to a batch, whose sessions go through the layer together and share one
 * reading of its weights. It works in the memory of the pass that it drafts for, and the two never run at once:
 * the pass's logits in that memory are lost. */
#ifndef TINI_PREDICTOR_H
#define TINI_PREDICTOR_H

#include "session.h"

/* The state of the layer's draft for a session's next token. */
enum {
    TINI_PREDICTION_NONE = 0,
    TINI_PREDICTION_REQUESTED, /* wanted before the next pass */
    TINI_PREDICTION_RUNNING,   /* being computed */
    TINI_PREDICTION_DRAFTED,   /* computed: the session's last draft */
    TINI_PREDICTION_PROBED     /* computed, but only compared with the choice: session->predicted_token */
};

/* A session whose token is drafted, and the parts of its row in the pass. */
typedef struct tini_predictor_row {
    tin_session *session;
    tini_caches caches; /* the session's last */
    tini_states states; /* destination of the layer's own state, which nothing reads */
} tini_predictor_row;

typedef struct tini_predictor {
    tini_pass pass;
    tini_pass *host;               /* that it drafts for, in whose memory it works */
    tini_predictor_row *members;   /* [most] */
    uint32_t most, count;          /* members: room, and those being drafted; 0: none */
    uint32_t made, checked, right; /* drafts of its last pass, and how many of them were checked and right */
    uint32_t cost;                 /* bytes of weights that the layer reads, as 256ths of a pass's */
    uint32_t share;                /* the same for one session's share of both, last time */
    uint32_t acceptance,
        weight; /* of 256 drafts, how many were right; how many drafts that estimate weighs as */
    uint32_t pause, pause_left; /* passes without drafts after wrong ones, and how many remain */
    int skipped;                /* the pause suppressed a request */
    int probing;                /* the drafts are not worth their rows: they only measure the acceptance */
} tini_predictor;

#define TINI_PREDICTOR_ROOM 640u
#define TINI_PREDICTOR_ROW_ROOM 256u
_Static_assert(sizeof(tini_predictor) <= TINI_PREDICTOR_ROOM, "room of a predictor");
_Static_assert(sizeof(tini_predictor_row) <= TINI_PREDICTOR_ROW_ROOM, "room of a session's draft");

/* Bytes of a predictor and its parts for passes of so many rows and sessions, a multiple of TIN_ALIGNMENT. 0 if
 * there can be none: the model lacks the layer, or there is no row of logits for a draft. */
uint64_t tini_predictor_bytes(const tin_model *model, uint32_t rows, uint32_t logit_rows, uint32_t sessions);
/* Makes a predictor in `memory`, to draft for the pass `host`. */
tini_predictor *tini_predictor_create(const tin_model *model, tini_pass *host, uint32_t sessions,
                                      uint8_t *memory);

/* Whether the session requests a draft of the next token: if it is expected to save more, less its cost, than
 * the other drafts. Those are expected to save `expected` choices, times 65,536. */
int tini_predictor_request(tini_predictor *predictor, tin_session *session, uint32_t expected);
/* Whether drafts are being computed. If not, begins those that the sessions request, as many as there is room
 * for. Call it before the host begins. */
int tini_predictor_due(tini_predictor *predictor, tin_session *const *sessions, uint32_t count);
/* Continues the drafts; 0 if the budget is spent, 1 if they are done. */
int tini_predictor_run(tini_predictor *predictor, const tini_budget *budget);
/* Records whether a draft of the predictor was right. */
void tini_predictor_checked(tini_predictor *predictor, const tin_session *session, int right);
/* Drops the unfinished drafts. */
void tini_predictor_cancel(tini_predictor *predictor);

#endif
