/* What the attention kernels share on AVX-512; the functions stand in attention_f16.c. */
#ifndef TINI_AVX512VNNI_ATTENTION_H
#define TINI_AVX512VNNI_ATTENTION_H

#include "../avx2/queries.h"
#include "rows.h"

/* A tini_product_fn. */
void tini_product_avx512vnni(const tini_product *m);

/* Turns the scores of a tile, not yet times the scale, into weights, and sets alpha. A position that is not seen weighs 0, which
 * leaves a partial sum as it was; a query that sees none has alpha = 1 and stays as it was. The largest score does not
 * depend on the order of comparisons, and which zero it is does not matter to exp. */
void tini_weigh_avx512vnni(tini_queries *s, const tini_attention *a);

#endif
