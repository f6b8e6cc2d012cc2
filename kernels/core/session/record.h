/* The choices behind the tokens that a session has chosen but not yet announced: at most as many as it has rows
 * of logits. A token without an entry was forced. */
#ifndef TINI_RECORD_H
#define TINI_RECORD_H

#include "session.h"

typedef struct tini_entry {
    tin_choice choice;
    uint32_t at; /* the token's position; the end's would-be position */
} tini_entry;

typedef struct tini_record {
    uint32_t rows, tops; /* most entries, and most alternatives of each */
    uint32_t count;
    tini_entry *entries; /* [rows] */
    tin_top *all;        /* [rows + 1][tops]; the last for a token that the search chose */
} tini_record;

/* Whether probabilities are recorded. record: or NULL. */
static inline int tini_record_shares(const tini_record *record) {
    return record && record->tops;
}

/* Drops all entries. record: or NULL. */
void tini_record_begin(tini_record *record);

/* Records a token chosen from logits[vocab] among the mask's tokens (NULL: all). share: the logarithm of its own
 * share, or 0. */
void tini_record_add(tini_record *record, uint32_t at, const float *logits, uint32_t vocab,
                     const uint32_t *mask, uint32_t token, double share);

#endif
