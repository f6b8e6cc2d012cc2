/* Storing a matmul's outputs. */
#ifndef TINI_AVX2_STORE_H
#define TINI_AVX2_STORE_H

#include "rows.h"

TINI_REGION_AVX2

/* As tini_tile_store, for `halves` half tiles from `unit` on and `columns` rows of x: y [columns][halves]. Touches no
 * memory past the outputs. */
void tini_avx2_store(const tini_matmul *m, uint32_t unit, uint32_t t, const __m256 *y, uint32_t halves,
                     uint32_t columns);

TINI_REGION_END

#endif
