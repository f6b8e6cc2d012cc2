/* Attention over q8 caches, for each set to call with its own matmul. */
#ifndef TINI_NEON_ATTENTION_Q8_H
#define TINI_NEON_ATTENTION_Q8_H

#include "../../core/base/kernel.h"

TINI_REGION_NEON

/* matmul: the set's own for Q8_0. */
void tini_neon_attention_q8(const tini_kv *kv, const tini_attention *a, tini_matmul_fn *matmul);

TINI_REGION_END

#endif
