/* Drafts of the tokens that a generation chooses next: by the session's draft table, or else what followed the
 * last tokens earlier in the session (prompt lookup: Saxena 2023), or by the model itself (predictor.h).
 *
 * A draft costs a row of a pass. As many are made as are likely enough to be right for that: by what the table
 * says of each, and by how often that came true, so that text that drafts do not fit is hardly slower. */
#ifndef TINI_SPECULATE_H
#define TINI_SPECULATE_H

#include "../text/draft_table.h"
#include "session.h"

/* Forced tokens that are asked for at once; where there are more, the rest follows. */
enum { TINI_FORCED_MAX = 64 };

/* Chances are of 256; how many of drafts are held to come true before any was seen to. */
enum { TINI_CERTAIN = 256, TINI_INITIAL_CALIBRATION = 192 };

/* Drafts are made by that table; their record begins anew where it is another. The session has room for it. */
void tini_speculate_with_table(tin_session *session, const tini_draft_table *table);
/* A generation begins. lookup: most drafts by what followed earlier; 0: no drafts at all. */
void tini_speculate_begin(tin_session *session, uint32_t lookup);
/* Puts drafts behind the session's tokens, or has it wish for the predictor's, where there is one. */
void tini_speculate(tin_session *session, struct tini_predictor *predictor);
/* Puts that one, and what must come behind it; 0 where it may not come, or would be for nothing. */
int tini_speculate_put(tin_session *session, int32_t token);
/* Whether a draft with that chance is worth its row, and what making it takes besides, of 256 of a pass. */
int tini_speculate_is_worth(const tin_session *session, uint32_t chance, uint32_t making);
/* How many of 256 come true: as was held before, and as `came` of those that were expected to hoped / 256 times. */
uint32_t tini_speculate_updated(uint32_t rate, uint32_t expected, uint32_t accepted);
/* Tokens were chosen from `at` on. Of so many drafts for them, the first `right` were; where they are a
 * predictor's, it is told. */
void tini_speculate_checked(tin_session *session, struct tini_predictor *predictor, uint32_t at,
                            uint32_t drafts, uint32_t right);

#endif
