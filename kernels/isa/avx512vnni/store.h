/* Storing a matmul's outputs. */
#ifndef TINI_AVX512VNNI_STORE_H
#define TINI_AVX512VNNI_STORE_H

#include "rows.h"

TINI_REGION_AVX512VNNI

/* As tini_tile_store, for `tiles` tiles and `columns` rows of x: y [columns][tiles]. Touches no memory past the
 * outputs. */
void tini_avx512_store(const tini_matmul *m, uint32_t tile, uint32_t t, const __m512 *y, uint32_t tiles,
                       uint32_t columns);

TINI_REGION_END

#endif
