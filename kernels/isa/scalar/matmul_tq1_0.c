#include "words.h"

TINI_REGION_REFERENCE

/* As words.c has it, with w one of -1, 0 and 1 (any byte has five), and 1 for both sc; unit 1. */
void tini_matmul_tq1_0_scalar(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_words_matmul(m, tile_begin, tile_end, TINI_FORMAT_TQ1_0, tini_widen, tini_wide_matmul_scalar);
}

TINI_REGION_END
