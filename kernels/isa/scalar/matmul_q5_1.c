#include "blocks.h"

TINI_REGION_REFERENCE

/* y = 0; for each block in order, with w in 0..31:
 *     y = y + (float)(sum of w * q) * (d * scale)
 *     y = y + minimum * (scale * (float)(sum of q))
 *
 * The integer sums are exact. d and minimum are the weights' float16 pair, scale the activations'. */
TINI_INLINE float tini_q5_1_add(float y, const tini_quants *w, uint32_t s, const tini_q8 *x) {
    int32_t sum = tini_dot(w->q + TINI_BLOCK * s, x->q, TINI_BLOCK, 0);
    y = y + (float)sum * (tini_f16_to_f32(w->half[0]) * x->scale);
    return y + tini_f16_to_f32(w->half[1]) * (x->scale * (float)x->sum);
}

void tini_matmul_q5_1_scalar(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_scalar_matmul(m, tile_begin, tile_end, TINI_FORMAT_Q5_1, tini_q5_1_add);
}

TINI_REGION_END
