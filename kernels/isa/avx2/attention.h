/* What the attention kernels share on AVX2. */
#ifndef TINI_AVX2_ATTENTION_H
#define TINI_AVX2_ATTENTION_H

#include "../scalar/attention.h"
#include "exp.h"
#include "rows.h"

TINI_REGION_AVX2

/* Eight int8 values as floats, exactly. */
TINI_INLINE __m256 tini_avx2_int8(const void *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

/* The product for 8 * registers lanes from `first` on. */
TINI_INLINE void tini_avx2_multiply(const tini_product *m, uint32_t first, const uint32_t queries,
                                    const uint32_t registers, const int source) {
    const float *a[TINI_PANEL];
    __m256 sum[TINI_PANEL][2];
    float *out = m->out + first;
    for (uint32_t i = 0; i < queries; i++) {
        a[i] = m->a[i];
        for (uint32_t r = 0; r < registers; r++) {
            sum[i][r] = _mm256_setzero_ps();
            if (m->factor)
                sum[i][r] = _mm256_mul_ps(_mm256_loadu_ps(out + i * m->out_stride + 8 * r),
                                          _mm256_set1_ps(m->factor[i]));
        }
    }
    const uint8_t *b = m->b + m->begin * m->row_bytes, *ahead = m->ahead;
    if (source == TINI_FLOATS)
        b += 4 * first;
    else if (source == TINI_HALVES)
        b += first / 16 * m->register_bytes, ahead += 128 * first;
    else
        b += first + m->begin / 16 * m->group_bytes, ahead += 34 * first;
    for (size_t k = m->begin; k < m->end; k++, b += m->row_bytes) {
        __m256 row[2];
        for (uint32_t r = 0; r < registers; r++)
            row[r] = source == TINI_FLOATS   ? _mm256_loadu_ps((const float *)(const void *)b + 8 * r)
                     : source == TINI_HALVES ? tini_avx2_halves(b + 16 * r)
                                             : tini_avx2_int8(b + 8 * r);
        if (source == TINI_HALVES)
            _mm_prefetch((const char *)ahead + 32 * k, _MM_HINT_T0);
        if (source == TINI_BYTES) {
            _mm_prefetch((const char *)ahead + 17 * k, _MM_HINT_T0);
            b += k % 16 == 15 ? m->group_bytes : 0;
        }
        for (uint32_t i = 0; i < queries; i++) {
            __m256 element = _mm256_broadcast_ss(a[i] + k);
            for (uint32_t r = 0; r < registers; r++)
                sum[i][r] = _mm256_add_ps(sum[i][r], _mm256_mul_ps(element, row[r]));
        }
    }
    for (uint32_t i = 0; i < queries; i++)
        for (uint32_t r = 0; r < registers; r++)
            _mm256_storeu_ps(out + i * m->out_stride + 8 * r, sum[i][r]);
}

TINI_INLINE void tini_avx2_lanes(const tini_product *m, uint32_t lanes, const uint32_t queries,
                                 const int type) {
    const int source = type == TIN_KV_Q8 ? TINI_BYTES : TINI_HALVES;
    uint32_t first = 0;
    if (m->source == source && queries <= 4) {
        for (; first + 16 <= lanes; first += 16)
            tini_avx2_multiply(m, first, queries, 2, source);
        return;
    }
    for (; first + 16 <= lanes; first += 16)
        tini_avx2_multiply(m, first, queries, 2, TINI_FLOATS);
    if (type == TIN_KV_F16 && first < lanes)
        tini_avx2_multiply(m, first, queries, 1, TINI_FLOATS);
}

TINI_INLINE void tini_avx2_panel(const tini_product *m, uint32_t queries, uint32_t lanes, const int type) {
    switch (queries) {
    case 6:
        tini_avx2_lanes(m, lanes, 6, type);
        break;
    case 4:
        tini_avx2_lanes(m, lanes, 4, type);
        break;
    case 3:
        tini_avx2_lanes(m, lanes, 3, type);
        break;
    case 2:
        tini_avx2_lanes(m, lanes, 2, type);
        break;
    default:
        tini_avx2_lanes(m, lanes, 1, type);
    }
}

/* All ones in the lanes of positions p .. p + 7 that are of [begin, end). */
TINI_INLINE __m256 tini_avx2_seen(uint32_t p, uint32_t begin, uint32_t end) {
    const __m256i lane =
        _mm256_add_epi32(_mm256_set1_epi32((int32_t)p), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256i before = _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)begin), lane);
    return _mm256_castsi256_ps(
        _mm256_andnot_si256(before, _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)end), lane)));
}

/* Turns the scores of a tile, not yet times `scale`, into weights, and sets alpha. A position that is not seen weighs 0,
 * which leaves a partial sum as it was; a query that sees none has alpha = 1 and stays as it was. The largest score does
 * not depend on the order of comparisons, and which zero it is does not matter to exp. */
static void tini_avx2_weigh(tini_queries *s, float scale) {
    float highest[32];
    for (uint32_t i = 0; i < 32; i++)
        highest[i] = s->maximum[i];
    for (uint32_t i = 0; i < s->count; i++) {
        __m256 high = _mm256_set1_ps(s->maximum[i]);
        for (uint32_t p = 0; p < TINI_KV_TILE; p += 8) {
            __m256 score = _mm256_mul_ps(_mm256_loadu_ps(s->weights[i] + p), _mm256_set1_ps(scale));
            score = _mm256_blendv_ps(_mm256_set1_ps(-TINI_INFINITY), score,
                                     tini_avx2_seen(p, s->begin[i], s->end[i]));
            _mm256_storeu_ps(s->weights[i] + p, score);
            high = _mm256_max_ps(high, score);
        }
        __m128 four = _mm_max_ps(_mm256_castps256_ps128(high), _mm256_extractf128_ps(high, 1));
        four = _mm_max_ps(four, _mm_movehl_ps(four, four));
        highest[i] = _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
    }
    for (uint32_t i = 0; i < s->count; i += 8) {
        __m256 now = _mm256_loadu_ps(highest + i), before = _mm256_loadu_ps(s->maximum + i);
        __m256 same = _mm256_cmp_ps(now, before, _CMP_EQ_OQ);
        __m256 alpha = tini_avx2_exp(_mm256_sub_ps(before, now));
        _mm256_storeu_ps(s->alpha + i, _mm256_blendv_ps(alpha, _mm256_set1_ps(1.0f), same));
        _mm256_storeu_ps(s->maximum + i, now);
    }
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->begin[i] == s->end[i])
            continue;
        const __m256 maximum = _mm256_set1_ps(s->maximum[i]), alpha = _mm256_set1_ps(s->alpha[i]);
        for (uint32_t half = 0; half < 16; half += 8) {
            __m256 lanes = _mm256_mul_ps(_mm256_loadu_ps(s->lanes[i] + half), alpha);
            for (uint32_t p = half; p < TINI_KV_TILE; p += 16) {
                __m256 weight = tini_avx2_exp(_mm256_sub_ps(_mm256_loadu_ps(s->weights[i] + p), maximum));
                _mm256_storeu_ps(s->weights[i] + p, weight);
                lanes = _mm256_add_ps(lanes, weight);
            }
            _mm256_storeu_ps(s->lanes[i] + half, lanes);
        }
    }
}

TINI_REGION_END

#endif
