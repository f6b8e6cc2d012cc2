/* The AVX2 vocabulary of half a tile, which sets above it speak too: a register holds four inputs of eight rows. */
#ifndef TINI_AVX2_HALF_TILE_H
#define TINI_AVX2_HALF_TILE_H

#include "store.h"

TINI_REGION_AVX2

typedef __m256i tini_avx2_ints;
typedef __m256 tini_avx2_floats;
typedef uint16_t tini_avx2_u16 __attribute__((vector_size(32)));
typedef uint32_t tini_avx2_u32 __attribute__((vector_size(32)));

TINI_INLINE __m256i tini_avx2_load(const uint8_t *p) {
    return tini_avx2_bytes(p);
}

TINI_INLINE __m256i tini_avx2_spread_byte(int x) {
    return _mm256_set1_epi8((char)x);
}

TINI_INLINE __m256i tini_avx2_spread_i32(int32_t x) {
    return _mm256_set1_epi32(x);
}

TINI_INLINE __m256 tini_avx2_spread_f32(float x) {
    return _mm256_set1_ps(x);
}

TINI_INLINE __m256i tini_avx2_spread_first(__m128i x) {
    return _mm256_broadcastd_epi32(x);
}

TINI_INLINE __m256i tini_avx2_right(__m256i v, const int n) {
    return (__m256i)(n < 0 ? (tini_avx2_u16)v << (n < 0 ? -n : 0) : (tini_avx2_u16)v >> (n < 0 ? 0 : n));
}

TINI_INLINE __m256i tini_avx2_mask(__m256i a, __m256i b) {
    return _mm256_and_si256(a, b);
}

/* a | (b & c) */
TINI_INLINE __m256i tini_avx2_or_and(__m256i a, __m256i b, __m256i c) {
    return _mm256_or_si256(a, _mm256_and_si256(b, c));
}

TINI_INLINE __m256i tini_avx2_add(__m256i a, __m256i b) {
    return _mm256_add_epi32(a, b);
}

TINI_INLINE __m256i tini_avx2_subtract(__m256i a, __m256i b) {
    return _mm256_sub_epi32(a, b);
}

/* v * power, a power of two. */
TINI_INLINE __m256i tini_avx2_times_power(__m256i v, const int power) {
    return (__m256i)((tini_avx2_u32)v * (uint32_t)power);
}

TINI_INLINE __m256i tini_avx2_multiply_pairs(__m256i a, __m256i b) {
    return _mm256_madd_epi16(a, b);
}

TINI_INLINE __m256 tini_avx2_to_floats(__m256i v) {
    return _mm256_cvtepi32_ps(v);
}

TINI_INLINE __m256 tini_avx2_plus(__m256 a, __m256 b) {
    return _mm256_add_ps(a, b);
}

TINI_INLINE __m256 tini_avx2_minus(__m256 a, __m256 b) {
    return _mm256_sub_ps(a, b);
}

TINI_INLINE __m256 tini_avx2_times(__m256 a, __m256 b) {
    return _mm256_mul_ps(a, b);
}

TINI_INLINE __m256 tini_avx2_negative(__m256 a) {
    return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f));
}

TINI_INLINE __m256 tini_avx2_small_floats(const int8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}

/* Each row's (a * factor, b * factor) as int16. */
TINI_INLINE __m256i tini_avx2_pairs(const int8_t *a, const int8_t *b, int factor) {
    __m128i bytes = _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)(const void *)a),
                                      _mm_loadl_epi64((const __m128i *)(const void *)b));
    return _mm256_mullo_epi16(_mm256_cvtepi8_epi16(bytes), _mm256_set1_epi16((int16_t)factor));
}

TINI_REGION_END

#endif
