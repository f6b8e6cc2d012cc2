#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "exp.h"
#include "rows.h"

TINI_REGION_AVX512VNNI

enum { TINI_AVX512_BLOCKS = TINI_WHOLE_TILE / TINI_BLOCK };

/* tini_weight on 16 lanes. */
TINI_INLINE __m512i tini_avx512_weight(__m512 t) {
    const __m512 rounder = _mm512_set1_ps(TINI_ROUND_F32);
    t = _mm512_max_ps(t, _mm512_set1_ps(TINI_WEIGHT_LOWEST));
    __m512 shifted = _mm512_add_ps(t, rounder), f = _mm512_sub_ps(t, _mm512_sub_ps(shifted, rounder));
    __m512 y = tini_avx512_step(_mm512_set1_ps(TINI_WEIGHT_P3), f, TINI_WEIGHT_P2);
    y = tini_avx512_step(y, f, TINI_WEIGHT_P1);
    y = tini_avx512_step(y, f, TINI_WEIGHT_P0);
    __m512i power = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
    return _mm512_cvtps_epi32(_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(y), power)));
}

/* The larger ones of a's and b's halves, then of quarters. */
TINI_INLINE __m512 tini_avx512_halved(__m512 a, __m512 b) {
    return _mm512_max_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
}

TINI_INLINE __m512 tini_avx512_quartered(__m512 a, __m512 b, __m512 c, __m512 d) {
    const __m512 ab = tini_avx512_halved(a, b), cd = tini_avx512_halved(c, d);
    return _mm512_max_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
}

/* Lane b < 8: the highest of v[b]; the others: more. */
TINI_INLINE __m512 tini_avx512_highs(const __m512 v[TINI_AVX512_BLOCKS], __m512 more) {
    const __m512 first = tini_avx512_quartered(v[0], v[1], v[2], v[3]),
                 last = tini_avx512_quartered(v[4], v[5], v[6], v[7]);
    __m512 m = _mm512_max_ps(_mm512_shuffle_ps(first, last, 0x44), _mm512_shuffle_ps(first, last, 0xee));
    m = _mm512_max_ps(m, _mm512_permute_ps(m, 0xb1));
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 16, 16, 16, 16, 16, 16, 16, 16);
    return _mm512_permutex2var_ps(m, order, more);
}

/* Lane b: the sum of block b's bytes, b < 8; pairs: those of blocks 2 p and 2 p + 1. */
TINI_INLINE __m512i tini_avx512_byte_sums(const __m512i pairs[TINI_AVX512_BLOCKS / 2]) {
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

/* The 16 scores from `at` on, and -infinity, which weighs 0, in the place of what is no position. */
TINI_INLINE __m512 tini_avx512_scores(const float *scores, uint32_t at, uint32_t count, const int whole) {
    if (whole || at + 16 <= count)
        return _mm512_loadu_ps(scores + at);
    const __mmask16 seen = at < count ? tini_avx512_first(count - at) : 0;
    return _mm512_mask_loadu_ps(_mm512_set1_ps(-TINI_INFINITY), seen, scores + at);
}

/* whole: whether the tile is. */
TINI_INLINE void tini_avx512_softmax(const tini_softmax *s, uint32_t r, const int whole) {
    const float *scores = s->scores + r * TINI_WHOLE_TILE;
    tini_q8 *weights = s->weights + r * TINI_AVX512_BLOCKS;
    __m512 v[TINI_AVX512_BLOCKS];
    TINI_UNROLL
    for (uint32_t b = 0; b < TINI_AVX512_BLOCKS; b++)
        v[b] = _mm512_max_ps(tini_avx512_scores(scores, TINI_BLOCK * b, s->count, whole),
                             tini_avx512_scores(scores, TINI_BLOCK * b + 16, s->count, whole));
    const __m512 highs = tini_avx512_highs(v, _mm512_set1_ps(s->maximum[r]));
    const float highest = _mm512_reduce_max_ps(highs);
    const __m512 scale = _mm512_set1_ps(s->scale), factor = _mm512_set1_ps(s->scale * TINI_EXP_LOG2E);
    const __m512 d = tini_avx512_exp(_mm512_mul_ps(_mm512_sub_ps(highs, _mm512_set1_ps(highest)), scale));
    _Alignas(64) float high[16], powers[16], parts[16];
    _mm512_store_ps(high, highs);
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i pairs[TINI_AVX512_BLOCKS / 2];
    TINI_UNROLL
    for (uint32_t p = 0; p < TINI_AVX512_BLOCKS / 2; p++) {
        __m512i q[4];
        TINI_UNROLL
        for (uint32_t k = 0; k < 4; k++) {
            const uint32_t at = 64 * p + 16 * k;
            const __m512 score = tini_avx512_scores(scores, at, s->count, whole);
            const __m512 below = _mm512_sub_ps(score, _mm512_set1_ps(high[at / TINI_BLOCK]));
            q[k] = tini_avx512_weight(_mm512_mul_ps(below, factor));
        }
        pairs[p] = _mm512_packs_epi16(_mm512_packs_epi32(q[0], q[1]), _mm512_packs_epi32(q[2], q[3]));
        pairs[p] = _mm512_permutexvar_epi32(order, pairs[p]);
    }
    const __m512i sums = tini_avx512_byte_sums(pairs);
    _mm512_store_ps(powers, d);
    _mm512_store_ps(parts, _mm512_mul_ps(d, _mm512_cvtepi32_ps(sums)));
    _Alignas(64) int32_t sum[16];
    _mm512_store_si512(sum, sums);
    float total = s->sum[r] * powers[8];
    TINI_UNROLL
    for (uint32_t b = 0; b < TINI_AVX512_BLOCKS; b++) {
        if (!whole && b * TINI_BLOCK >= s->count)
            break;
        weights[b].scale = powers[b];
        weights[b].sum = sum[b];
        _mm256_storeu_si256((__m256i *)(void *)weights[b].q, b % 2 ? _mm512_extracti64x4_epi64(pairs[b / 2], 1)
                                                                   : _mm512_castsi512_si256(pairs[b / 2]));
        total = total + parts[b];
    }
    s->maximum[r] = highest;
    s->alpha[r] = powers[8];
    s->sum[r] = total;
}

/* Bits equal the scalar's: lanes are positions, the largest score does not depend on the order of comparisons, sums of bytes
 * are exact, the conversion rounds to nearest even as tini_nearest does, and no q exceeds 127, so packing does not clip. */
void tini_softmax_q8_avx512vnni(const tini_softmax *s) {
    for (uint32_t r = 0; r < s->rows; r++)
        if (s->count == TINI_WHOLE_TILE)
            tini_avx512_softmax(s, r, 1);
        else
            tini_avx512_softmax(s, r, 0);
}

TINI_REGION_END
#endif
