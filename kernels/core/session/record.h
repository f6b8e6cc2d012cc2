/* What the tokens were chosen by that a session has chosen and not yet given. They are as many as it has logits at hand,
 * at most; a token without an entry had to come. */
#ifndef TINI_RECORD_H
#define TINI_RECORD_H

#include "session.h"

typedef struct tini_entry {
    tin_choice choice;
    uint32_t at; /* where the token stands, or would, being the end */
} tini_entry;

typedef struct tini_record {
    uint32_t rows, tops; /* most entries, and most alternatives of each */
    uint32_t count;
    tini_entry *entries; /* [rows] */
    tin_top *all;        /* [rows + 1][tops]; the last of a token that the search chose */
} tini_record;

/* Whether probabilities are kept. record: or NULL. */
static inline int tini_record_shares(const tini_record *record) {
    return record && record->tops;
}

/* What was kept is no longer needed. record: or NULL. */
void tini_record_begin(tini_record *record);

/* The token is chosen by logits[vocab] of those in the mask, or NULL; share: the logarithm of its own, or 0. */
void tini_record_add(tini_record *record, uint32_t at, const float *logits, uint32_t vocab,
                     const uint32_t *mask, uint32_t token, double share);

#endif
