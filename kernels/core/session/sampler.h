/* Choosing a token from a row of logits.
 *
 * Let l be the logits after, one after the other,
 *
 *   biases               l + value, for each bias of the token in order
 *   repetition penalty   of a token in the history: l divided by it if l is positive, else multiplied
 *   other penalties      of a token that occurs count > 0 times in the last `answered` of the history:
 *                        (l - count * frequency_penalty) - presence_penalty
 *
 * in float32, and tokens be ordered by (l descending, id ascending). The filters are applied in the order
 * of Hugging Face's logits processors, and each keeps a beginning of that order:
 *
 *   top_k       the first k tokens (transformers also keeps those that tie with the k-th)
 *   top_p       the fewest whose weights reach top_p of the sum of the weights that top_k kept; at least one
 *   min_p       weights of at least min_p times the first one's
 *
 * weight = floor(exp((l - l_max) / temperature) * 2^40), an integer, so that sums are exact in any order. One
 * number drawn evenly from [0, sum of the kept weights) then picks a token, ids ascending. It is a hash of
 * (seed, position), so a replay needs no generator's state.
 *
 * A NaN counts as -infinity, and +infinity as the largest float. -infinity is never chosen unless all are; then
 * it is the first token.
 *
 * A mask, where there is one, is uint32[ceil(vocab / 32)], bit t % 32 of word t / 32 for token t, and bits past the
 * vocabulary 0. Tokens whose bit is 0 do not exist: what is chosen is as if their logits were -infinity. Where the
 * mask has one token that is chosen, whatever the logits, which are then not read.
 */
#ifndef TINI_SAMPLER_H
#define TINI_SAMPLER_H

#include "../../include/tin.h"

#define TINI_SAMPLER_VOCAB_MAX (1u << 23) /* 2^23 weights of 2^40 fit 64 bits */

/* Sets the logits of tokens outside the mask to minus infinity, whatever their memory holds. */
void tini_mask_logits(float *logits, uint32_t vocab, const uint32_t *mask);

/* The id of the largest logit, the lowest id of equals; logits[vocab], vocab > 0. mask: or NULL; STATE if it has
 * no token. */
int32_t tini_argmax(const float *logits, uint32_t vocab, const uint32_t *mask);

/* The logarithm of the token's share in the softmax of logits[vocab], or of the mask's, which has the token. The
 * error is below 1e-6: exponentials are floats; their sum, ids ascending, and all else are doubles. -infinity if
 * the share is 0. 0 if the mask has no other token; the logits are then not read. */
double tini_log_share(const float *logits, uint32_t vocab, const uint32_t *mask, uint32_t token);

/* The likeliest tokens of the mask, at most `most`, by (logit descending, id ascending), with logits as
 * log_probability. Returns how many it writes. */
uint32_t tini_tops(const float *logits, uint32_t vocab, const uint32_t *mask, tin_top *tops, uint32_t most);

/* As tini_tops, with the log_probability of tini_log_share. The logits are read. */
uint32_t tini_log_shares(const float *logits, uint32_t vocab, const uint32_t *mask, tin_top *tops,
                         uint32_t most);

/* How many tokens the mask has; vocab for NULL. */
uint32_t tini_allowed(const uint32_t *mask, uint32_t vocab);

/* Whether the options are in range: temperature >= 0, repetition_penalty > 0, top_p and min_p from 0 to 1,
 * biases of tokens below vocab. All numbers must be finite, except a bias of -infinity. */
int tini_sampling_allowed(const tin_sampling *sampling, uint32_t vocab);

/* Whether the options take the likeliest token by unchanged logits. */
int tini_sampling_plain(const tin_sampling *sampling);

/* Bytes of scratch, aligned to 8, that tini_sample needs. */
size_t tini_sample_scratch(uint32_t vocab);

/* The token after history[history_length] (ids below vocab); `position` numbers the draw. mask: or NULL.
 * ARGUMENT if an option is out of range, STATE if the mask has no token. */
int32_t tini_sample(const tin_sampling *sampling, const float *logits, uint32_t vocab, const uint32_t *mask,
                    const int32_t *history, uint32_t history_length, uint64_t position, void *scratch);

#endif
