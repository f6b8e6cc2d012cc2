/* What the attention kernels share on AVX-512.
 *
 * Bits equal the scalar's: scores have one lane a position and sum over head_dim in order; the weights' 16 partial sums
 * are one register; outputs have one lane an element and sum over positions in order, of which none is added that
 * the query does not see. */
#ifndef TINI_AVX512VNNI_ATTENTION_H
#define TINI_AVX512VNNI_ATTENTION_H

#include "../x86/attention.h"
#include "rows.h"

tini_product_fn tini_product_avx512vnni;
tini_weigh_fn tini_weigh_avx512vnni;

#endif
