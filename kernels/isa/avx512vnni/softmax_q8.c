#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "eight.h"
#include "exp.h"

TINI_REGION_AVX512VNNI

enum { TINI_AVX512_BLOCKS = TINI_WHOLE_TILE / TINI_BLOCK };
_Static_assert(TINI_AVX512_BLOCKS == 8, "a lane a block");

/* tini_weight on 16 lanes: the same, as both ways of multiplying by a power of two are exact down to what rounds to 0. whole: no
 * lane is -infinity, of which the difference from its rounded self is no number. */
TINI_INLINE __m512i tini_avx512_weight(__m512 t, const int whole) {
    if (!whole)
        t = _mm512_max_ps(t, _mm512_set1_ps(TINI_WEIGHT_LOWEST));
    const __m512 n = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                 f = _mm512_sub_ps(t, n);
    __m512 y = tini_avx512_step(_mm512_set1_ps(TINI_WEIGHT_P3), f, TINI_WEIGHT_P2);
    y = tini_avx512_step(y, f, TINI_WEIGHT_P1);
    y = tini_avx512_step(y, f, TINI_WEIGHT_P0);
    return _mm512_cvtps_epi32(_mm512_scalef_ps(y, n));
}

/* The 16 scores from `at` on, and -infinity, which weighs 0, in the place of what is no position. */
TINI_INLINE __m512 tini_avx512_scores(const float *scores, uint32_t at, uint32_t count, const int whole) {
    if (whole || at + 16 <= count)
        return _mm512_loadu_ps(scores + at);
    const __mmask16 seen = at < count ? tini_avx512_first(count - at) : 0;
    return _mm512_mask_loadu_ps(_mm512_set1_ps(-TINI_INFINITY), seen, scores + at);
}

/* What comes before a row's weights. */
typedef struct tini_avx512_row {
    _Alignas(64) float high[16];  /* a block's highest score */
    _Alignas(64) float power[16]; /* what the block's weights are worth; alpha from the eighth on */
} tini_avx512_row;

/* whole: whether the tile is. */
TINI_INLINE void tini_avx512_begin_row(const tini_softmax *s, uint32_t r, tini_avx512_row *row,
                                       const int whole) {
    const float *scores = s->scores + r * TINI_WHOLE_TILE;
    __m512 v[TINI_AVX512_BLOCKS];
    TINI_UNROLL
    for (uint32_t b = 0; b < TINI_AVX512_BLOCKS; b++)
        v[b] = _mm512_max_ps(tini_avx512_scores(scores, TINI_BLOCK * b, s->count, whole),
                             tini_avx512_scores(scores, TINI_BLOCK * b + 16, s->count, whole));
    const __m512 highs = tini_avx512_highs(v, _mm512_set1_ps(s->maximum[r]));
    const float highest = _mm512_reduce_max_ps(highs);
    const __m512 below = _mm512_sub_ps(highs, _mm512_set1_ps(highest));
    _mm512_store_ps(row->high, highs);
    _mm512_store_ps(row->power, tini_avx512_exp(_mm512_mul_ps(below, _mm512_set1_ps(s->scale))));
    s->maximum[r] = highest;
}

TINI_INLINE void tini_avx512_weigh_row(const tini_softmax *s, uint32_t r, const tini_avx512_row *row,
                                       const int whole) {
    const float *scores = s->scores + r * TINI_WHOLE_TILE;
    tini_q8 *weights = s->weights + r * TINI_AVX512_BLOCKS;
    const __m512 factor = _mm512_set1_ps(s->scale * TINI_EXP_LOG2E);
    __m512i pairs[TINI_AVX512_BLOCKS / 2];
    TINI_UNROLL
    for (uint32_t p = 0; p < TINI_AVX512_BLOCKS / 2; p++) {
        __m512i q[4];
        TINI_UNROLL
        for (uint32_t k = 0; k < 4; k++) {
            const uint32_t at = 64 * p + 16 * k;
            const __m512 score = tini_avx512_scores(scores, at, s->count, whole);
            const __m512 below = _mm512_sub_ps(score, _mm512_set1_ps(row->high[at / TINI_BLOCK]));
            q[k] = tini_avx512_weight(_mm512_mul_ps(below, factor), whole);
        }
        pairs[p] = tini_avx512_pack(q);
    }
    _Alignas(64) int32_t sum[16];
    _Alignas(64) float part[16];
    const __m512i sums = tini_avx512_byte_sums(pairs);
    _mm512_store_si512(sum, sums);
    _mm512_store_ps(part, _mm512_mul_ps(_mm512_load_ps(row->power), _mm512_cvtepi32_ps(sums)));
    float total = s->sum[r] * row->power[8];
    TINI_UNROLL
    for (uint32_t b = 0; b < TINI_AVX512_BLOCKS; b++) {
        if (!whole && b * TINI_BLOCK >= s->count)
            break;
        weights[b].scale = row->power[b];
        weights[b].sum = sum[b];
        tini_avx512_store_block(weights[b].q, pairs, b);
        total = total + part[b];
    }
    s->alpha[r] = row->power[8];
    s->sum[r] = total;
}

/* Some rows at a time, of which the one's chain of operations goes on while the other's waits. */
TINI_INLINE void tini_avx512_softmax(const tini_softmax *s, const int whole) {
    tini_avx512_row rows[8];
    for (uint32_t r = 0; r < s->rows; r += 8) {
        const uint32_t count = s->rows - r < 8 ? s->rows - r : 8;
        for (uint32_t k = 0; k < count; k++)
            tini_avx512_begin_row(s, r + k, &rows[k], whole);
        for (uint32_t k = 0; k < count; k++)
            tini_avx512_weigh_row(s, r + k, &rows[k], whole);
    }
}

/* Bits equal the scalar's: lanes are positions, the largest score does not depend on the order of comparisons, sums of bytes
 * are exact, the conversion rounds to nearest even as tini_nearest does, and no q exceeds 127, so packing does not clip. */
void tini_softmax_q8_avx512vnni(const tini_softmax *s) {
    if (s->count == TINI_WHOLE_TILE)
        tini_avx512_softmax(s, 1);
    else
        tini_avx512_softmax(s, 0);
}

TINI_REGION_END
#endif
