#include "blocks.h"

TINI_REGION_REFERENCE

/* y = 0; for each 32 inputs in order, with w in 0..31 and sc, mn in 0..63 those inputs' small scale and minimum:
 *     y = y + (float)(sum of w * q) * ((d * (float)sc) * scale)
 *     y = y - (dmin * (float)mn) * (scale * (float)(sum of q))
 *
 * The integer sums are exact, and so are d * sc and dmin * mn: 11 bits by 6. The first line has q4_1's float
 * steps with d * sc as its scale, which leaves nothing but a dot product to a column of activations: sc times the
 * integer sum would be one multiply more for each. d and dmin are the super-block's float16 pair. */
TINI_INLINE float tini_q5_k_add(float y, const tini_quants *w, uint32_t s, const tini_q8 *x) {
    tini_group group = tini_group_of(w->scale, 2 * s, TINI_FORMAT_Q5_K);
    float d = tini_f16_to_f32(w->half[0]) * (float)group.scale;
    float minimum = tini_f16_to_f32(w->half[1]) * (float)group.minimum;
    int32_t sum = tini_dot(w->q + TINI_BLOCK * s, x->q, TINI_BLOCK, 0);
    y = y + (float)sum * (d * x->scale);
    return y - minimum * (x->scale * (float)x->sum);
}

void tini_matmul_q5_k_scalar(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_scalar_matmul(m, tile_begin, tile_end, TINI_FORMAT_Q5_K, tini_q5_k_add);
}

TINI_REGION_END
