/* tini_exp on 16 lanes: the same operations in the same order. */
#ifndef TINI_AVX512VNNI_EXP_H
#define TINI_AVX512VNNI_EXP_H

#include <immintrin.h>

#include "../../core/base/math.h"

TINI_REGION_AVX512VNNI

TINI_INLINE __m512 tini_avx512_step(__m512 p, __m512 r, float coefficient) {
    return _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(coefficient));
}

TINI_INLINE __m512 tini_avx512_exp(__m512 x) {
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(TINI_EXP_LOG2E)),
                                    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_sub_ps(x, _mm512_mul_ps(n, _mm512_set1_ps(TINI_EXP_LN2_HIGH)));
    r = _mm512_sub_ps(r, _mm512_mul_ps(n, _mm512_set1_ps(TINI_EXP_LN2_LOW)));
    __m512 p = tini_avx512_step(_mm512_set1_ps(TINI_EXP_P4), r, TINI_EXP_P3);
    p = tini_avx512_step(p, r, TINI_EXP_P2);
    p = tini_avx512_step(p, r, TINI_EXP_P1);
    p = tini_avx512_step(p, r, TINI_EXP_P0);
    __m512 y = _mm512_add_ps(_mm512_mul_ps(p, _mm512_mul_ps(r, r)), r);
    y = _mm512_add_ps(y, _mm512_set1_ps(1.0f));
    y = _mm512_scalef_ps(y, n);
    __mmask16 above = _mm512_cmp_ps_mask(x, _mm512_set1_ps(TINI_EXP_HIGHEST), _CMP_GT_OQ);
    __mmask16 kept = _mm512_cmp_ps_mask(x, _mm512_set1_ps(TINI_EXP_LOWEST), _CMP_NLT_UQ);
    y = _mm512_mask_mov_ps(y, above, _mm512_set1_ps(TINI_INFINITY));
    return _mm512_maskz_mov_ps(kept, y);
}

#define TINI_LANES __m512
#define TINI_LANES_NORMAL tini_avx512_normal
#define TINI_LANES_EXP tini_avx512_exp
#include "../../core/base/normal_lanes.h"

TINI_REGION_END

#endif
