/* Choosing tokens inside tin_step, with drafts.
 *
 * The queue of a generating session is the last chosen token, followed by drafts. A pass gives the logits of all
 * of them. The token chosen behind each may equal the next draft: then the draft is right, and its own logits
 * are at hand. Else it replaces the draft, and the rest is forgotten. A choice depends only on logits and
 * position (the draw is a hash of seed and position). So the tokens are those of plain decoding, sampled or
 * greedy.
 *
 * A constraint masks the logits of forbidden tokens. Forced tokens need no logits: they are queued behind the
 * last chosen token, or behind the prompt, and computed with it. The constraint advances by chosen tokens only,
 * so wrong drafts do not affect it.
 *
 * Each token is the choice without a limit, unless the text could not end in time behind it. Then another token
 * is chosen, behind which it can; such an answer never finishes with TIN_FINISH_END. A search chooses as without
 * a limit, and its answer is cut. */
#ifndef TINI_GENERATE_H
#define TINI_GENERATE_H

#include "session.h"

/* Chooses the next token if one is due, and drafts its successors. 0 if the budget is spent; with `worked` 0 (no
 * work done yet) it chooses anyway. */
int tini_generate_choose(tin_session *session, struct tini_predictor *predictor, const tini_budget *budget,
                         int worked);
/* Whether the generation must not choose these tokens next: `left` tokens could end the text, but not behind
 * these. */
int tini_generate_overruns(const tin_session *session, const int32_t *tokens, uint32_t count, uint32_t left);
/* Ends a generation and takes back tokens that were not announced. STATE if a batch is computing them. */
tin_status tini_generate_end(tin_session *session, tin_error *error);

#endif
