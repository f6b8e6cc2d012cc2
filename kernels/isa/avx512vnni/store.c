#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "store.h"

TINI_REGION_AVX512VNNI

void tini_avx512_store(const tini_matmul *m, uint32_t tile, uint32_t t, const __m512 *y, uint32_t tiles,
                       uint32_t columns) {
    for (uint32_t k = 0; k < tiles; k++) {
        uint32_t first = (tile + k) * TINI_TILE;
        __mmask16 lanes = tini_avx512_first(m->outputs - first);
        __m512 bias = m->bias ? _mm512_maskz_loadu_ps(lanes, m->bias + first) : _mm512_setzero_ps();
        float *out = m->out + t * m->out_stride + first;
        const float *residual = m->residual ? m->residual + t * m->residual_stride + first : NULL;
        for (uint32_t c = 0; c < columns; c++, out += m->out_stride) {
            __m512 sum = y[c * tiles + k];
            if (m->bias)
                sum = _mm512_add_ps(sum, bias);
            if (residual) {
                sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(lanes, residual));
                residual += m->residual_stride;
            }
            _mm512_mask_storeu_ps(out, lanes, sum);
        }
    }
}

TINI_REGION_END
#endif
