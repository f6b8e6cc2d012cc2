/* Softmax over a vocabulary of which a tile at a time is seen, in one pass where torch's operations take six: the sum of
 * exponentials is taken against the greatest logit so far and set right when a greater one comes (Milakov and
 * Gimelshein, arXiv 1805.02867). Training is not under the bit contract.
 */
#ifndef TINI_TRAIN_LOGITS_H
#define TINI_TRAIN_LOGITS_H

#include <stddef.h>
#include <stdint.h>

/* A tile: the tokens from `begin` on of `rows` labels. A logit is scale times what stands there, bfloat16 where `narrow`, else
 * float32. */
typedef struct tini_logits {
    uint32_t rows, width, begin, passed_over;
    int narrow;
    float scale;
} tini_logits;

/* Of each row [rows]: the greatest logit so far, and its token; the sum of exp(logit - top) over all tokens but the target;
 * the target's logit, once it was seen; by what the tile shrinks sums of before. */
typedef struct tini_logits_sums {
    float *top, *others, *right, *shrink;
    int64_t *best;
} tini_logits_sums;

/* Puts exp(logit - top) in the place of each logit [rows][width], and 0 in the target's; brings `seen` up to date. */
void tini_weigh_logits(const tini_logits *l, void *logits, const int64_t *targets,
                       const tini_logits_sums *sums);

#endif
