/* Choosing tokens inside tin_step, with drafts.
 *
 * The queue of a generating session is the token chosen last and then drafts. A pass gives the logits of all of them;
 * the token chosen after each either is the next draft, which is then known to be right and whose own logits are at
 * hand, or takes its place, and the rest is forgotten. What is chosen depends on logits and position alone (the draw is
 * a hash of both seed and position), so the tokens are those of plain decoding, sampled or greedy.
 *
 * Under a constraint the logits that it forbids count for nothing, and tokens that must come next are taken up without
 * logits: they are queued behind the token chosen last, or behind the prompt, and computed with it. The constraint goes
 * along chosen tokens only, so wrong drafts leave no trace in it.
 *
 * Each token is the one that is chosen without a limit. Only where the text could not end in time behind it, another one is
 * chosen, with which it can; such an answer never finishes as one that ended by itself. A search chooses as without a limit,
 * and its answer is cut. */
#ifndef TINI_GENERATE_H
#define TINI_GENERATE_H

#include "session.h"

/* Chooses, where that is due, and drafts what follows. 0 when there is no time left for it; where nothing was done yet
 * (worked is 0) it is done all the same. */
int tini_generate_choose(tin_session *session, struct tini_predictor *predictor, const tini_budget *budget,
                         int worked);
/* Whether the generation must not choose these tokens next, since `left` tokens could end the text, but not with them. */
int tini_generate_overruns(const tin_session *session, const int32_t *tokens, uint32_t count, uint32_t left);
/* Ends a generation: what was not announced is taken back. STATE when that is under way in a batch. */
tin_status tini_generate_end(tin_session *session, tin_error *error);

#endif
