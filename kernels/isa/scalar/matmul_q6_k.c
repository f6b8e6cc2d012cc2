#include "blocks.h"

TINI_REGION_REFERENCE

/* y = 0; for each 32 inputs in order, with w in 0..63 and sc0, sc1 in -128..127 the small scales of the first and
 * the last 16 of them:
 *     y = y + (float)(sc0 * sum0 + sc1 * sum1) * (d * scale), sum0 and sum1 the halves' sums of (w - 32) * q
 *
 * The integers are exact: at most 16 * 32 * 128 for a sum of 16, 128 times two of them is 2^24, so the conversion is exact too.
 * d is the super-block's float16 scale, scale the activations'. */
TINI_INLINE float tini_q6_k_add(float y, const tini_quants *w, uint32_t s, const tini_q8 *x) {
    const uint8_t *q = w->q + TINI_BLOCK * s;
    tini_group first = tini_group_of(w->scale, 2 * s, TINI_FORMAT_Q6_K);
    tini_group last = tini_group_of(w->scale, 2 * s + 1, TINI_FORMAT_Q6_K);
    int32_t sum = first.scale * tini_dot(q, x->q, 16, 32) + last.scale * tini_dot(q + 16, x->q + 16, 16, 32);
    return y + (float)sum * (tini_f16_to_f32(w->half[0]) * x->scale);
}

void tini_matmul_q6_k_scalar(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_scalar_matmul(m, tile_begin, tile_end, TINI_FORMAT_Q6_K, tini_q6_k_add);
}

TINI_REGION_END
