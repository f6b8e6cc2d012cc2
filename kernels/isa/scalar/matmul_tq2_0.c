#include "blocks.h"

TINI_REGION_REFERENCE

/* y = 0; for each 32 inputs in order: y = y + (float)(sum of (w - 1) * q) * (d * scale), w in 0..3.
 *
 * The integer sum is exact. d is the float16 scale of 256 weights, scale the activations'. */
TINI_INLINE float tini_tq2_0_add(float y, const tini_quants *w, uint32_t s, const tini_q8 *x) {
    int32_t sum = tini_dot(w->q + TINI_BLOCK * s, x->q, TINI_BLOCK, 1);
    return y + (float)sum * (tini_f16_to_f32(w->half[0]) * x->scale);
}

void tini_matmul_tq2_0_scalar(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_scalar_matmul(m, tile_begin, tile_end, TINI_FORMAT_TQ2_0, tini_tq2_0_add);
}

TINI_REGION_END
