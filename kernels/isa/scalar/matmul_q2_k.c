#include "blocks.h"

TINI_REGION_REFERENCE

/* y = 0; for each 32 inputs in order, with w in 0..3 and sc, mn in 0..15 the small scales and minimums of the first
 * and the last 16 of them:
 *     sum   = sc0 * (sum of the first 16 w * q) + sc1 * (of the last 16)
 *     total = mn0 * (sum of the first 16 q) + mn1 * (of the last 16)
 *     y = y + (d * (float)sum - dmin * (float)total) * scale
 *
 * The integers are exact: a sum of 16 is at most 16 * 3 * 128 = 6,144, which int16 holds, 15 times two of them
 * 184,320; total at most 61,440. d and dmin are the super-block's float16 pair, scale the activations'. */
TINI_INLINE float tini_q2_k_add(float y, const tini_quants *w, uint32_t s, const tini_q8 *x) {
    const uint8_t *q = w->q + TINI_BLOCK * s;
    tini_group first = tini_group_of(w->scale, 2 * s, TINI_FORMAT_Q2_K);
    tini_group last = tini_group_of(w->scale, 2 * s + 1, TINI_FORMAT_Q2_K);
    int32_t sum = first.scale * tini_dot(q, x->q, 16, 0) + last.scale * tini_dot(q + 16, x->q + 16, 16, 0);
    int32_t total = first.minimum * tini_sum(x->q, 16) + last.minimum * tini_sum(x->q + 16, 16);
    float d = tini_f16_to_f32(w->half[0]), minimum = tini_f16_to_f32(w->half[1]);
    return y + (d * (float)sum - minimum * (float)total) * x->scale;
}

void tini_matmul_q2_k_scalar(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_scalar_matmul(m, tile_begin, tile_end, TINI_FORMAT_Q2_K, tini_q2_k_add);
}

TINI_REGION_END
