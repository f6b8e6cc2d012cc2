#include "words.h"

TINI_REGION_REFERENCE

/* y = 0; for each 32 inputs in order, with w plus or minus one of 8, 25 and 43, and sc0, sc1 = 1, 3, .. 31 the small scales of the first and
 * the last 16 of them:
 *     y = y + (float)(sc0 * sum0 + sc1 * sum1) * ((d / 8) * scale), sum0 and sum1 the halves' sums of w * q
 *
 * The integers are exact: at most 16 * 43 * 127 for a sum of 16, 31 times two of them below 2^23, so the conversion is exact too.
 * d is the super-block's float16 scale, scale the activations'. */
TINI_INLINE float tini_iq2_xs_add(float y, const tini_quants *w, uint32_t s, const tini_q8 *x) {
    return tini_words_add_halves(y, w, s, x, TINI_FORMAT_IQ2_XS);
}

void tini_matmul_iq2_xs_scalar(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_scalar_matmul(m, tile_begin, tile_end, TINI_FORMAT_IQ2_XS, tini_iq2_xs_add);
}

TINI_REGION_END
