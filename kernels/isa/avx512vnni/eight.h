/* Eight blocks of 32 at once: their largest elements, their bytes and the sums of these, a lane a block. */
#ifndef TINI_AVX512VNNI_EIGHT_H
#define TINI_AVX512VNNI_EIGHT_H

#include "rows.h"

TINI_REGION_AVX512VNNI

/* The larger ones of a's and b's halves, then of quarters. */
TINI_INLINE __m512 tini_avx512_halved(__m512 a, __m512 b) {
    return _mm512_max_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
}

TINI_INLINE __m512 tini_avx512_quartered(__m512 a, __m512 b, __m512 c, __m512 d) {
    const __m512 ab = tini_avx512_halved(a, b), cd = tini_avx512_halved(c, d);
    return _mm512_max_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
}

/* Lane b < 8: the highest of v[b]; the others: more. */
TINI_INLINE __m512 tini_avx512_highs(const __m512 v[8], __m512 more) {
    const __m512 first = tini_avx512_quartered(v[0], v[1], v[2], v[3]),
                 last = tini_avx512_quartered(v[4], v[5], v[6], v[7]);
    __m512 m = _mm512_max_ps(_mm512_shuffle_ps(first, last, 0x44), _mm512_shuffle_ps(first, last, 0xee));
    m = _mm512_max_ps(m, _mm512_permute_ps(m, 0xb1));
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 16, 16, 16, 16, 16, 16, 16, 16);
    return _mm512_permutex2var_ps(m, order, more);
}

/* Lane b: the sum of block b's bytes, b < 8; pairs: those of blocks 2 p and 2 p + 1. */
TINI_INLINE __m512i tini_avx512_byte_sums(const __m512i pairs[4]) {
    __m512i s[4], two[2];
    TINI_UNROLL
    for (uint32_t p = 0; p < 4; p++)
        s[p] = _mm512_sad_epu8(pairs[p], _mm512_setzero_si512());
    TINI_UNROLL
    for (uint32_t p = 0; p < 2; p++) {
        two[p] = _mm512_or_si512(s[2 * p], _mm512_slli_epi64(s[2 * p + 1], 32));
        two[p] = _mm512_add_epi32(two[p], _mm512_shuffle_epi32(two[p], _MM_PERM_BADC));
        two[p] = _mm512_add_epi32(two[p], _mm512_shuffle_i64x2(two[p], two[p], 0xb1));
    }
    const __m512i order = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 0, 8, 1, 9, 2, 10, 3, 11);
    return _mm512_permutexvar_epi32(order, _mm512_mask_mov_epi64(two[0], 0xaa, two[1]));
}

/* The bytes of 64 numbers, of which none is past a byte's: those of two blocks. */
TINI_INLINE __m512i tini_avx512_pack(const __m512i q[4]) {
    /* What packing inside 128-bit parts leaves, put back in order. */
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i bytes = _mm512_packs_epi16(_mm512_packs_epi32(q[0], q[1]), _mm512_packs_epi32(q[2], q[3]));
    return _mm512_permutexvar_epi32(order, bytes);
}

TINI_INLINE void tini_avx512_store_block(int8_t *q, const __m512i pairs[4], const uint32_t b) {
    _mm256_storeu_si256((__m256i *)(void *)q, b % 2 ? _mm512_extracti64x4_epi64(pairs[b / 2], 1)
                                                    : _mm512_castsi512_si256(pairs[b / 2]));
}

TINI_REGION_END

#endif
