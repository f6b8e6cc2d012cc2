#include "words.h"

TINI_REGION_REFERENCE

/* As words.c has it, with w plus or minus one of 4, 12, .. 52 and 62, and one sc for both halves; unit 1/4. */
void tini_matmul_iq3_xxs_scalar(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_words_matmul(m, tile_begin, tile_end, TINI_FORMAT_IQ3_XXS, tini_widen, tini_wide_matmul_scalar);
}

TINI_REGION_END
