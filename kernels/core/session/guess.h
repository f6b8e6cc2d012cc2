/* Guesses of the tokens that a generation chooses next: by the session's draft table, or else what followed the last tokens
 * earlier in the session (prompt lookup: Saxena 2023).
 *
 * A guess costs a row of a pass. As many are made as are likely enough to be right for that: by what the table says of each,
 * and by how often that came true, so that text that guesses do not fit is hardly slower. */
#ifndef TINI_GUESS_H
#define TINI_GUESS_H

#include "../text/draft.h"
#include "session.h"

/* Forced tokens that are asked for at once; where there are more, the rest follows. */
enum { TINI_FORCED_MAX = 64 };

/* Tokens that may still be chosen; 0, which is no bound for a mask, where the next one only shows that the context is
 * full. */
uint32_t tini_tokens_left(const tin_session *session, uint32_t at);

/* Guesses are made by that table; their record begins anew where it is another. The session has room for it. */
void tini_guess_by(tin_session *session, const tini_draft *table);
/* A generation begins. lookup: most guesses by what followed earlier; 0: no guesses at all. */
void tini_guess_begin(tin_session *session, uint32_t lookup);
/* Puts guesses behind the session's tokens. */
void tini_guess(tin_session *session);
/* Tokens were chosen from `at` on. Of so many guesses for them, the first `right` were. */
void tini_guess_checked(tin_session *session, uint32_t at, uint32_t guesses, uint32_t right);

#endif
