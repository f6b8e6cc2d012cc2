#include "words.h"

TINI_REGION_REFERENCE

/* As words.c has it, with w plus or minus one of 8, 25 and 43, and an sc for each half; unit 1/8. */
void tini_matmul_iq2_xs_scalar(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_words_matmul(m, tile_begin, tile_end, TINI_FORMAT_IQ2_XS, tini_widen, tini_wide_matmul_scalar);
}

TINI_REGION_END
