#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include "store.h"

TINI_REGION_AVX2

void tini_avx2_store(const tini_matmul *m, uint32_t unit, uint32_t t, const __m256 *y, uint32_t halves,
                     uint32_t columns) {
    for (uint32_t k = 0; k < halves && (unit + k) * 8 < m->outputs; k++) {
        uint32_t first = (unit + k) * 8;
        const __m256i lanes = tini_avx2_first(m->outputs - first < 8 ? m->outputs - first : 8);
        __m256 bias = m->bias ? _mm256_maskload_ps(m->bias + first, lanes) : _mm256_setzero_ps();
        float *out = m->out + t * m->out_stride + first;
        const float *residual = m->residual ? m->residual + t * m->residual_stride + first : NULL;
        for (uint32_t c = 0; c < columns; c++, out += m->out_stride) {
            __m256 sum = y[c * halves + k];
            if (m->bias)
                sum = _mm256_add_ps(sum, bias);
            if (residual) {
                sum = _mm256_add_ps(sum, _mm256_maskload_ps(residual, lanes));
                residual += m->residual_stride;
            }
            _mm256_maskstore_ps(out, lanes, sum);
        }
    }
}

TINI_REGION_END
#endif
