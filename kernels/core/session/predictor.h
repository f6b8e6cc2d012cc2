/* Guesses of a model's own layer for that (multi-token prediction): of a token that was just chosen and the hidden state that
 * it was chosen by, the layer's program makes logits of the token behind it, which the next pass checks as any guess.
 *
 * The layer attends to all tokens before; what it keeps of them, the model's own program fills in as it goes: the last of its
 * caches is the layer's, and the last of its states the hidden state of the newest token. So rewinding, saving and copying a
 * session know nothing of it. */
#ifndef TINI_PREDICTOR_H
#define TINI_PREDICTOR_H

#include "session.h"

typedef struct tini_predictor {
    tini_pass pass;
    tini_caches caches; /* the session's last */
    tini_states states; /* its own: two slots, the hidden state at hand in the first */
    uint32_t at[2];
    uint32_t cost;          /* of 256: what a guess reads of the weights, of what a pass reads */
    uint32_t luck;          /* of 256 guesses, how many came true */
    uint32_t rest, resting; /* how many are left out after bad luck, and how many still */
    int due;                /* one is under way */
    int made;               /* the last guess is its */
} tini_predictor;

#define TINI_PREDICTOR_ROOM 640u
_Static_assert(sizeof(tini_predictor) <= TINI_PREDICTOR_ROOM, "room of a predictor");

/* Bytes of a session's predictor and of what belongs to it, a multiple of TIN_ALIGNMENT; 0 where it can have none: the model
 * lacks the layer, or the session has no pass of its own or no row of logits for a guess. */
uint64_t tini_predictor_bytes(const tin_model *model, const tin_session_options *options);
/* Makes it there. */
tini_predictor *tini_predictor_create(const tin_session *session, uint8_t *memory);

/* Begins a guess of what follows the token chosen last, where that is expected to spare more, less what it costs, than others
 * do, which are expected to spare so many choices, times 65,536: 1; else 0. */
int tini_predictor_begin(tin_session *session, uint32_t expected);
/* Goes on with it; 0 when the budget is spent, else the guess is made, or there is none. */
int tini_predictor_run(tin_session *session, const tini_budget *budget);
/* Of the guess that it made, whether it was right. */
void tini_predictor_checked(tin_session *session, int right);

static inline int tini_predictor_due(const tin_session *session) {
    return session->predictor && session->predictor->due;
}

/* What is under way is given up. */
static inline void tini_predictor_drop(tin_session *session) {
    if (session->predictor)
        session->predictor->due = 0;
}

#endif
