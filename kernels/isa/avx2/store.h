/* Storing a matmul's outputs. */
#ifndef TINI_AVX2_STORE_H
#define TINI_AVX2_STORE_H

#include "rows.h"

TINI_REGION_AVX2

/* As tini_tile_store, for the eight outputs of half tile `unit`. Touches no memory past the outputs. */
TINI_NOINLINE void tini_avx2_store(const tini_matmul *m, uint32_t unit, uint32_t t, __m256 y) {
    uint32_t first = unit * 8;
    if (first >= m->outputs)
        return;
    const __m256i lanes = tini_avx2_first(m->outputs - first < 8 ? m->outputs - first : 8);
    if (m->bias)
        y = _mm256_add_ps(y, _mm256_maskload_ps(m->bias + first, lanes));
    if (m->residual)
        y = _mm256_add_ps(y, _mm256_maskload_ps(m->residual + t * m->residual_stride + first, lanes));
    _mm256_maskstore_ps(m->out + t * m->out_stride + first, lanes, y);
}

TINI_REGION_END

#endif
