#include "words.h"

TINI_REGION_REFERENCE

/* y = 0; for each 32 inputs in order: y = y + (float)(sum of w * q) * (d * scale), w one of -1, 0 and 1 (any byte has five).
 *
 * The integer sum is exact. d is the float16 scale of 256 weights, scale the activations'. */
TINI_INLINE float tini_tq1_0_add(float y, const tini_quants *w, uint32_t s, const tini_q8 *x) {
    return tini_words_add(y, w, s, x, TINI_FORMAT_TQ1_0);
}

void tini_matmul_tq1_0_scalar(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_scalar_matmul(m, tile_begin, tile_end, TINI_FORMAT_TQ1_0, tini_tq1_0_add);
}

TINI_REGION_END
