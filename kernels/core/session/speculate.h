/* Drafts of the next tokens of a generation: from the session's draft table, else from prompt lookup (Saxena
 * 2023: the continuation of the last tokens earlier in the session), or from the model itself (predictor.h).
 *
 * A draft costs a row of a pass. Only drafts that are likely enough to be right are made, by the table's
 * confidence and by the share of earlier drafts that were right. So text that drafts do not fit is hardly
 * slower. */
#ifndef TINI_SPECULATE_H
#define TINI_SPECULATE_H

#include "../text/draft_table.h"
#include "session.h"

/* Most forced tokens of one call; further ones follow in the next. */
enum { TINI_FORCED_MAX = 64 };

/* Probabilities are 256ths. The initial share of right drafts, before any was checked. */
enum { TINI_CERTAIN = 256, TINI_INITIAL_CALIBRATION = 192 };

/* Sets the draft table; another table starts with a new calibration. The session has room for it. */
void tini_speculate_with_table(tin_session *session, const tini_draft_table *table);
/* Begins a generation. lookup: most drafts by prompt lookup; 0: no drafts at all. */
void tini_speculate_begin(tin_session *session, uint32_t lookup);
/* Appends drafts to the session's tokens, or requests the predictor's, if there is one. */
void tini_speculate(tin_session *session, struct tini_predictor *predictor);
/* Appends a draft and the forced tokens behind it; 0 if it is forbidden, or not worth a row. */
int tini_speculate_put(tin_session *session, int32_t token);
/* Whether a draft with this probability is worth its row, and the cost of making it, in 256ths of a pass. */
int tini_speculate_is_worth(const tin_session *session, uint32_t chance, uint32_t making);
/* The updated share of right drafts, of 256, after `accepted` drafts were right where expected / 256 were
 * expected. */
uint32_t tini_speculate_updated(uint32_t rate, uint32_t expected, uint32_t accepted);
/* Records choices from `at` on: of so many drafts, the first `right` were right. Tells the predictor about its
 * own. */
void tini_speculate_checked(tin_session *session, struct tini_predictor *predictor, uint32_t at,
                            uint32_t drafts, uint32_t right);

#endif
