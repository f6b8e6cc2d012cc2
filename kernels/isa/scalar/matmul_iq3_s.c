#include "words.h"

TINI_REGION_REFERENCE

/* y = 0; for each 32 inputs in order, with w an odd number within 15 and sc = 1, 3, .. 31 those inputs' small scale:
 *     y = y + (float)(sum of w * q) * ((d * (float)sc) * scale)
 *
 * The integer sum is exact, and so is d * sc: 11 bits by 5. d is the super-block's float16 scale, scale the
 * activations'. */
TINI_INLINE float tini_iq3_s_add(float y, const tini_quants *w, uint32_t s, const tini_q8 *x) {
    return tini_words_add(y, w, s, x, TINI_FORMAT_IQ3_S);
}

void tini_matmul_iq3_s_scalar(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_scalar_matmul(m, tile_begin, tile_end, TINI_FORMAT_IQ3_S, tini_iq3_s_add);
}

TINI_REGION_END
