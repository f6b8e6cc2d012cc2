#include "words.h"

TINI_REGION_REFERENCE

/* y = 0; for each 32 inputs in order, with w plus or minus one of 8, 25 and 43 and sc = 1, 3, .. 31 those inputs' small scale:
 *     y = y + (float)(sum of w * q) * ((d / 8 * (float)sc) * scale)
 *
 * The integer sum is exact, and so is d / 8 * sc: 11 bits by 5. d is the super-block's float16 scale, scale the
 * activations'. */
TINI_INLINE float tini_iq2_xxs_add(float y, const tini_quants *w, uint32_t s, const tini_q8 *x) {
    return tini_words_add(y, w, s, x, TINI_FORMAT_IQ2_XXS);
}

void tini_matmul_iq2_xxs_scalar(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_scalar_matmul(m, tile_begin, tile_end, TINI_FORMAT_IQ2_XXS, tini_iq2_xxs_add);
}

TINI_REGION_END
