#include "blocks.h"

TINI_REGION_REFERENCE

/* y = 0; for each 32 inputs in order, with w in 0..15 and sc in -32..31 those inputs' small scale:
 *     y = y + (float)(sum of value[w] * q) * ((d * (float)sc) * scale)
 *
 * value is tini_iq4_nl less 128. The integer sum is exact, and so is d * sc: 11 bits by 6. d is the super-block's float16
 * scale, scale the activations'. */
TINI_INLINE float tini_iq4_xs_add(float y, const tini_quants *w, uint32_t s, const tini_q8 *x) {
    tini_group group = tini_group_of(w->scale, 2 * s, TINI_FORMAT_IQ4_XS);
    int32_t sum = tini_dot_codes(w->q + TINI_BLOCK * s, tini_iq4_nl, x->q, TINI_BLOCK, 128);
    return y + (float)sum * (tini_f16_to_f32(w->half[0]) * (float)group.scale * x->scale);
}

void tini_matmul_iq4_xs_scalar(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_scalar_matmul(m, tile_begin, tile_end, TINI_FORMAT_IQ4_XS, tini_iq4_xs_add);
}

TINI_REGION_END
