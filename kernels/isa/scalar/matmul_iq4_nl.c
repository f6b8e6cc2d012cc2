#include "blocks.h"

TINI_REGION_REFERENCE

/* y = 0; for each block in order: y = y + (float)(sum of value[w] * q) * (d * scale), w in 0..15.
 *
 * value is tini_iq4_nl less 128, within -127..113. The integer sum is exact. d is the weights' float16 scale, scale the
 * activations'. */
TINI_INLINE float tini_iq4_nl_add(float y, const tini_quants *w, uint32_t s, const tini_q8 *x) {
    int32_t sum = tini_dot_codes(w->q + TINI_BLOCK * s, tini_iq4_nl, x->q, TINI_BLOCK, 128);
    return y + (float)sum * (tini_f16_to_f32(w->half[0]) * x->scale);
}

void tini_matmul_iq4_nl_scalar(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_scalar_matmul(m, tile_begin, tile_end, TINI_FORMAT_IQ4_NL, tini_iq4_nl_add);
}

TINI_REGION_END
