/* tini_exp on eight lanes: the same operations in the same order. */
#ifndef TINI_AVX2_EXP_H
#define TINI_AVX2_EXP_H

#include <immintrin.h>

#include "../../core/base/math.h"

TINI_REGION_AVX2

TINI_INLINE __m256 tini_avx2_step(__m256 p, __m256 r, float coefficient) {
    return _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(coefficient));
}

TINI_INLINE __m256 tini_avx2_exp(__m256 x) {
    const __m256 rounder = _mm256_set1_ps(TINI_ROUND_F32);
    __m256 n = _mm256_mul_ps(x, _mm256_set1_ps(TINI_EXP_LOG2E));
    n = _mm256_sub_ps(_mm256_add_ps(n, rounder), rounder);
    __m256 r = _mm256_sub_ps(x, _mm256_mul_ps(n, _mm256_set1_ps(TINI_EXP_LN2_HIGH)));
    r = _mm256_sub_ps(r, _mm256_mul_ps(n, _mm256_set1_ps(TINI_EXP_LN2_LOW)));
    __m256 p = tini_avx2_step(_mm256_set1_ps(TINI_EXP_P4), r, TINI_EXP_P3);
    p = tini_avx2_step(p, r, TINI_EXP_P2);
    p = tini_avx2_step(p, r, TINI_EXP_P1);
    p = tini_avx2_step(p, r, TINI_EXP_P0);
    __m256 y = _mm256_add_ps(_mm256_mul_ps(p, _mm256_mul_ps(r, r)), r);
    y = _mm256_add_ps(y, _mm256_set1_ps(1.0f));
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    y = _mm256_mul_ps(y, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
    __m256 above = _mm256_cmp_ps(x, _mm256_set1_ps(TINI_EXP_HIGHEST), _CMP_GT_OQ);
    __m256 below = _mm256_cmp_ps(x, _mm256_set1_ps(TINI_EXP_LOWEST), _CMP_LT_OQ);
    y = _mm256_blendv_ps(y, _mm256_set1_ps(TINI_INFINITY), above);
    return _mm256_andnot_ps(below, y);
}

#define TINI_LANES __m256
#define TINI_LANES_NORMAL tini_avx2_normal
#define TINI_LANES_EXP tini_avx2_exp
#include "../../core/base/normal_lanes.h"

TINI_REGION_END

#endif
