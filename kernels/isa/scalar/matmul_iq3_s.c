#include "words.h"

TINI_REGION_REFERENCE

/* As words.c has it, with w an odd number within 15, and one sc for both halves; unit 1. */
void tini_matmul_iq3_s_scalar(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_words_matmul(m, tile_begin, tile_end, TINI_FORMAT_IQ3_S, tini_widen, tini_wide_matmul_scalar);
}

TINI_REGION_END
