/* What the gates share on AVX-512: the scalar's operations in its order, 16 values at a time. */
#ifndef TINI_AVX512VNNI_GATE_H
#define TINI_AVX512VNNI_GATE_H

#include "../x86/fetch.h"
#include "exp.h"
#include "rows.h"

TINI_REGION_AVX512VNNI

/* act: TINI_ACT_*, a constant. */
TINI_INLINE void tini_avx512_gate(float *out, const float *gate, const float *up, uint32_t n, const int act) {
    const __m512 sign = _mm512_set1_ps(-0.0f), one = _mm512_set1_ps(1.0f);
    const __m512 a = _mm512_set1_ps(TINI_GELU_A), b = _mm512_set1_ps(TINI_GELU_B);
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 lanes = tini_avx512_first(n - i);
        tini_fetch(gate + i + TINI_FETCH_AHEAD / 4, 64);
        __m512 g = _mm512_maskz_loadu_ps(lanes, gate + i), x = g;
        if (act == TINI_ACT_GELU)
            x = _mm512_mul_ps(g, _mm512_add_ps(a, _mm512_mul_ps(b, _mm512_mul_ps(g, g))));
        __m512 factor = act == TINI_ACT_GELU_ERF
                            ? _mm512_mul_ps(g, tini_avx512_normal(g))
                            : _mm512_div_ps(act == TINI_ACT_SIGMOID ? one : g,
                                            _mm512_add_ps(one, tini_avx512_exp(_mm512_xor_ps(x, sign))));
        _mm512_mask_storeu_ps(out + i, lanes, _mm512_mul_ps(factor, _mm512_maskz_loadu_ps(lanes, up + i)));
    }
}

TINI_REGION_END

#endif
