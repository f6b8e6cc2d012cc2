/* The loop that the matmuls of formats of words share (core/base/words.h), in every instruction set. */
#ifndef TINI_SCALAR_WORDS_H
#define TINI_SCALAR_WORDS_H

#include "../../core/base/quants.h"

/* widen, wide: the set's own, and its matmul of TINI_FORMAT_WIDE. */
void tini_words_matmul(const tini_matmul *m, uint32_t tile, uint32_t tile_end, int format, tini_widen_fn *widen,
                       tini_matmul_fn *wide);

/* The scalar set's of that. */
void tini_wide_matmul_scalar(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end);

#endif
