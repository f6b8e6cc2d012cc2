/* What the gates share on AVX2: the scalar's operations in its order, eight values at a time. */
#ifndef TINI_AVX2_GATE_H
#define TINI_AVX2_GATE_H

#include "../../core/base/kernel.h"
#include "../x86/fetch.h"
#include "exp.h"

TINI_REGION_AVX2

/* Whole registers; returns how many values those are. act: TINI_ACT_*, a constant. */
TINI_INLINE uint32_t tini_avx2_gate(float *out, const float *gate, const float *up, uint32_t n, const int act) {
    const __m256 sign = _mm256_set1_ps(-0.0f), one = _mm256_set1_ps(1.0f);
    const __m256 a = _mm256_set1_ps(TINI_GELU_A), b = _mm256_set1_ps(TINI_GELU_B);
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 g = _mm256_loadu_ps(gate + i), x = g;
        tini_fetch(gate + i + TINI_FETCH_AHEAD / 4, 64);
        if (act == TINI_ACT_GELU)
            x = _mm256_mul_ps(g, _mm256_add_ps(a, _mm256_mul_ps(b, _mm256_mul_ps(g, g))));
        __m256 factor = act == TINI_ACT_GELU_ERF
                            ? _mm256_mul_ps(g, tini_avx2_normal(g))
                            : _mm256_div_ps(act == TINI_ACT_SIGMOID ? one : g,
                                            _mm256_add_ps(one, tini_avx2_exp(_mm256_xor_ps(x, sign))));
        _mm256_storeu_ps(out + i, _mm256_mul_ps(factor, _mm256_loadu_ps(up + i)));
    }
    return i;
}

TINI_REGION_END

#endif
