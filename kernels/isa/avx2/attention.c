#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include "attention.h"
#include "exp.h"

TINI_REGION_AVX2

/* All ones in the lanes of positions p .. p + 7 that are of [begin, end). */
TINI_INLINE __m256 tini_avx2_visible(uint32_t p, uint32_t begin, uint32_t end) {
    const __m256i lane =
        _mm256_add_epi32(_mm256_set1_epi32((int32_t)p), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256i before = _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)begin), lane);
    return _mm256_castsi256_ps(
        _mm256_andnot_si256(before, _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)end), lane)));
}

void tini_weigh_avx2(tini_queries *s, const tini_attention *a) {
    const float scale = tini_queries_cap(s, a);
    float highest[TINI_QUERIES];
    for (uint32_t i = 0; i < TINI_QUERIES; i++)
        highest[i] = s->maximum[i];
    for (uint32_t i = 0; i < s->count; i++) {
        __m256 high = _mm256_set1_ps(s->maximum[i]);
        TINI_UNROLL
        for (uint32_t p = 0; p < TINI_KV_TILE; p += 8) {
            __m256 score = _mm256_mul_ps(_mm256_loadu_ps(s->weights[i] + p), _mm256_set1_ps(scale));
            score = _mm256_blendv_ps(_mm256_set1_ps(-TINI_INFINITY), score,
                                     tini_avx2_visible(p, s->begin[i], s->end[i]));
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
            TINI_UNROLL
            for (uint32_t p = half; p < TINI_KV_TILE + half; p += 16) {
                __m256 weight = tini_avx2_exp(_mm256_sub_ps(_mm256_loadu_ps(s->weights[i] + p), maximum));
                _mm256_storeu_ps(s->weights[i] + p, weight);
                lanes = _mm256_add_ps(lanes, weight);
            }
            _mm256_storeu_ps(s->lanes[i] + half, lanes);
        }
    }
}

/* The product of queries [i, i + queries) for lanes [first, first + 16). */
TINI_INLINE void tini_avx2_multiply(const tini_product *m, uint32_t i, uint32_t first, const uint32_t queries,
                                    const int source) {
    const float *a[TINI_PANEL];
    __m256 sum[TINI_PANEL][2];
    float *out = m->out + i * m->out_stride + first;
    TINI_UNROLL
    for (uint32_t k = 0; k < queries; k++)
        a[k] = m->a[i + k];
    if (source == TINI_BYTES || m->factor) {
        TINI_UNROLL
        for (uint32_t k = 0; k < queries; k++) {
            const __m256 factor = _mm256_broadcast_ss(m->factor + i + k);
            TINI_UNROLL
            for (uint32_t r = 0; r < 2; r++)
                sum[k][r] = _mm256_mul_ps(_mm256_loadu_ps(out + k * m->out_stride + 8 * r), factor);
        }
    } else {
        TINI_UNROLL
        for (uint32_t k = 0; k < queries; k++)
            sum[k][0] = sum[k][1] = _mm256_setzero_ps();
    }
    const uint8_t *b = m->b + m->begin * m->row_bytes, *ahead = m->ahead;
    if (source == TINI_FLOATS)
        b += 4 * first;
    else if (source == TINI_HALVES)
        b += first / 16 * m->register_bytes, ahead += 128 * first;
    else
        b += first + m->begin / 16 * m->group_bytes, ahead += 34 * first;
    for (size_t p = m->begin; p < m->end; p++, b += m->row_bytes) {
        __m256 row[2];
        TINI_UNROLL
        for (uint32_t r = 0; r < 2; r++)
            row[r] = source == TINI_FLOATS   ? _mm256_loadu_ps((const float *)(const void *)b + 8 * r)
                     : source == TINI_HALVES ? tini_avx2_halves(b + 16 * r)
                                             : tini_avx2_int8(b + 8 * r);
        if (source == TINI_HALVES)
            _mm_prefetch((const char *)ahead + 32 * p, _MM_HINT_T0);
        if (source == TINI_BYTES) {
            _mm_prefetch((const char *)ahead + 17 * p, _MM_HINT_T0);
            b += p % 16 == 15 ? m->group_bytes : 0;
        }
        TINI_UNROLL
        for (uint32_t k = 0; k < queries; k++) {
            __m256 element = _mm256_broadcast_ss(a[k] + p);
            TINI_UNROLL
            for (uint32_t r = 0; r < 2; r++)
                sum[k][r] = _mm256_add_ps(sum[k][r], _mm256_mul_ps(element, row[r]));
        }
    }
    TINI_UNROLL
    for (uint32_t k = 0; k < queries; k++) {
        TINI_UNROLL
        for (uint32_t r = 0; r < 2; r++)
            _mm256_storeu_ps(out + k * m->out_stride + 8 * r, sum[k][r]);
    }
}

static void tini_avx2_widened(const tini_product *m) {
    for (uint32_t i = 0, n; i < m->queries; i += n) {
        uint32_t left = m->queries - i;
        n = left == 6 || left == 4 ? left : left >= 3 ? 3 : 1;
        for (uint32_t first = 0; first < m->lanes; first += 16)
            if (n == 6)
                tini_avx2_multiply(m, i, first, 6, TINI_FLOATS);
            else if (n == 4)
                tini_avx2_multiply(m, i, first, 4, TINI_FLOATS);
            else if (n == 3)
                tini_avx2_multiply(m, i, first, 3, TINI_FLOATS);
            else
                tini_avx2_multiply(m, i, first, 1, TINI_FLOATS);
    }
}

TINI_INLINE void tini_avx2_memory(const tini_product *m, uint32_t first, const int source) {
    switch (m->queries) {
    case 4:
        tini_avx2_multiply(m, 0, first, 4, source);
        break;
    case 3:
        tini_avx2_multiply(m, 0, first, 3, source);
        break;
    case 2:
        tini_avx2_multiply(m, 0, first, 2, source);
        break;
    default:
        tini_avx2_multiply(m, 0, first, 1, source);
    }
}

void tini_product_avx2(const tini_product *m) {
    if (m->source == TINI_FLOATS)
        tini_avx2_widened(m);
    else
        for (uint32_t first = 0; first < m->lanes; first += 16)
            if (m->source == TINI_HALVES)
                tini_avx2_memory(m, first, TINI_HALVES);
            else
                tini_avx2_memory(m, first, TINI_BYTES);
}

TINI_REGION_END
#endif
