/* Drafts of a model's own layer for that (multi-token prediction): of a token that was just chosen and the hidden state that
 * it was chosen by, the layer's program makes logits of the token behind it, which the next pass checks as any draft.
 *
 * The layer attends to all tokens before; what it keeps of them, the model's own program fills in as it goes: the last of its
 * caches is the layer's, and the last of its states the hidden state of the newest token. So rewinding, saving and copying a
 * session know nothing of it.
 *
 * A predictor is a session's, or a batch's, whose sessions go through the layer together and share the reading of its weights.
 * It works in the memory of the pass that it drafts for, which is never under way with it: logits there are gone. */
#ifndef TINI_PREDICTOR_H
#define TINI_PREDICTOR_H

#include "session.h"

/* What is with the layer's draft for a session's next token. */
enum {
    TINI_PREDICTION_NONE = 0,
    TINI_PREDICTION_REQUESTED, /* it is wanted before the next pass */
    TINI_PREDICTION_RUNNING,   /* it is under way */
    TINI_PREDICTION_DRAFTED,   /* it was made, and is the session's last draft */
    TINI_PREDICTION_PROBED     /* it was made, and is only compared with the token chosen: session->foreseen */
};

/* A session whose token is drafted, and what its row of the pass needs. */
typedef struct tini_predictor_row {
    tin_session *session;
    tini_caches caches; /* the session's last */
    tini_states states; /* where the layer's own goes, which is not asked for */
} tini_predictor_row;

typedef struct tini_predictor {
    tini_pass pass;
    tini_pass *host;               /* that it drafts for, and works in the memory of */
    tini_predictor_row *members;   /* [most] */
    uint32_t most, count;          /* of those under way; 0: no draft is */
    uint32_t made, checked, right; /* drafts of the last pass: since then, so many were checked */
    uint32_t cost;                 /* of 256: what the layer reads of the weights, of what a pass reads */
    uint32_t share;                /* the same of a session's share of both, as it was last time */
    uint32_t acceptance, weight;   /* of 256 drafts, how many came true; as how many the next are judged */
    uint32_t pause, pause_left;    /* passes without drafts after bad luck, and how many still */
    int skipped;                   /* one would have been wished for but for that */
    int probing; /* those under way are not worth their rows: it is found out whether they would be right */
} tini_predictor;

#define TINI_PREDICTOR_ROOM 640u
#define TINI_PREDICTOR_ROW_ROOM 256u
_Static_assert(sizeof(tini_predictor) <= TINI_PREDICTOR_ROOM, "room of a predictor");
_Static_assert(sizeof(tini_predictor_row) <= TINI_PREDICTOR_ROW_ROOM, "room of a session's draft");

/* Bytes of a predictor for passes of so many rows, of so many sessions, and of what belongs to it, a multiple of TIN_ALIGNMENT;
 * 0 where there can be none: the model lacks the layer, or there is no row of logits for a draft. */
uint64_t tini_predictor_bytes(const tin_model *model, uint32_t rows, uint32_t logit_rows, uint32_t sessions);
/* Makes it there, to draft for that pass. */
tini_predictor *tini_predictor_create(const tin_model *model, tini_pass *host, uint32_t sessions,
                                      uint8_t *memory);

/* Whether the session wishes for a draft of what follows the token chosen last: where that is expected to spare more, less
 * what it costs, than others do, which are expected to spare so many choices, times 65,536. */
int tini_predictor_request(tini_predictor *predictor, tin_session *session, uint32_t expected);
/* Whether drafts are under way. Where none are, those that the sessions wish for are begun, of as many as it is for. To be
 * asked before the host begins. */
int tini_predictor_due(tini_predictor *predictor, tin_session *const *sessions, uint32_t count);
/* Goes on with them; 0 when the budget is spent, else they are made. */
int tini_predictor_run(tini_predictor *predictor, const tini_budget *budget);
/* Of a draft that it made, whether it was right. */
void tini_predictor_checked(tini_predictor *predictor, const tin_session *session, int right);
/* What is under way is given up. */
void tini_predictor_cancel(tini_predictor *predictor);

#endif
