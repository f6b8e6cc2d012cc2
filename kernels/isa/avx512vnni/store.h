/* Storing a matmul's outputs. */
#ifndef TINI_AVX512VNNI_STORE_H
#define TINI_AVX512VNNI_STORE_H

#include "rows.h"

TINI_REGION_AVX512VNNI

/* As tini_tile_store. Touches no memory past the outputs. */
TINI_NOINLINE void tini_avx512_store(const tini_matmul *m, uint32_t tile, uint32_t t, __m512 y) {
    uint32_t first = tile * TINI_TILE;
    __mmask16 lanes = tini_avx512_first(m->outputs - first);
    if (m->bias)
        y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(lanes, m->bias + first));
    if (m->residual)
        y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(lanes, m->residual + t * m->residual_stride + first));
    _mm512_mask_storeu_ps(m->out + t * m->out_stride + first, lanes, y);
}

TINI_REGION_END

#endif
