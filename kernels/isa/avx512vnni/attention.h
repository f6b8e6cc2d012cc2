/* What the attention kernels share on AVX-512. */
#ifndef TINI_AVX512VNNI_ATTENTION_H
#define TINI_AVX512VNNI_ATTENTION_H

#include "../scalar/attention.h"
#include "exp.h"
#include "rows.h"

TINI_REGION_AVX512VNNI

TINI_INLINE void tini_avx512_multiply(const tini_product *m, uint32_t first, __mmask16 lanes,
                                      const uint32_t queries, const uint32_t registers, const int source) {
    const float *a[TINI_PANEL];
    __m512 sum[TINI_PANEL][4];
    float *out = m->out + first;
    for (uint32_t i = 0; i < queries; i++) {
        a[i] = m->a[i];
        for (uint32_t r = 0; r < registers; r++) {
            sum[i][r] = _mm512_setzero_ps();
            if (m->factor)
                sum[i][r] = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, out + i * m->out_stride + 16 * r),
                                          _mm512_set1_ps(m->factor[i]));
        }
    }
    const uint8_t *b = m->b + m->begin * m->row_bytes + first * 4, *ahead = m->ahead;
    if (source == TINI_BYTES)
        b += m->begin / 16 * m->group_bytes;
    for (size_t k = m->begin; k < m->end; k++, b += m->row_bytes) {
        __m512 row[4];
        for (uint32_t r = 0; r < registers; r++)
            row[r] = source == TINI_FLOATS  ? _mm512_loadu_ps(b + 64 * r)
                     : source == TINI_BYTES ? tini_avx512_int8(b + 16 * r)
                                            : tini_avx512_halves(b + r * m->register_bytes);
        if (source == TINI_HALVES) {
            _mm_prefetch((const char *)ahead + 128 * k, _MM_HINT_T0);
            _mm_prefetch((const char *)ahead + 128 * k + 64, _MM_HINT_T0);
        }
        if (source == TINI_BYTES) {
            _mm_prefetch((const char *)ahead + 34 * k, _MM_HINT_T0);
            b += k % 16 == 15 ? m->group_bytes : 0;
        }
        for (uint32_t i = 0; i < queries; i++) {
            __m512 element = _mm512_set1_ps(a[i][k]);
            for (uint32_t r = 0; r < registers; r++)
                sum[i][r] = _mm512_add_ps(sum[i][r], _mm512_mul_ps(element, row[r]));
        }
    }
    for (uint32_t i = 0; i < queries; i++)
        for (uint32_t r = 0; r < registers; r++)
            _mm512_mask_storeu_ps(out + i * m->out_stride + 16 * r, lanes, sum[i][r]);
}

TINI_INLINE void tini_avx512_lanes(const tini_product *m, uint32_t lanes, const uint32_t queries,
                                   const int type) {
    if (type == TIN_KV_Q8) {
        if (m->source == TINI_BYTES && queries <= 4)
            tini_avx512_multiply(m, 0, 0xffff, queries, 2, TINI_BYTES);
        else
            tini_avx512_multiply(m, 0, 0xffff, queries, 2, TINI_FLOATS);
    } else if (m->source == TINI_HALVES && queries <= 4) {
        tini_avx512_multiply(m, 0, 0xffff, queries, 4, TINI_HALVES);
    } else if (lanes == 64) {
        tini_avx512_multiply(m, 0, 0xffff, queries, 4, TINI_FLOATS);
    } else {
        for (uint32_t first = 0; first < lanes; first += 16)
            tini_avx512_multiply(m, first, tini_avx512_first(lanes - first), queries, 1, TINI_FLOATS);
    }
}

TINI_INLINE void tini_avx512_panel(const tini_product *m, uint32_t queries, uint32_t lanes, const int type) {
    switch (queries) {
    case 6:
        tini_avx512_lanes(m, lanes, 6, type);
        break;
    case 4:
        tini_avx512_lanes(m, lanes, 4, type);
        break;
    case 3:
        tini_avx512_lanes(m, lanes, 3, type);
        break;
    case 2:
        tini_avx512_lanes(m, lanes, 2, type);
        break;
    default:
        tini_avx512_lanes(m, lanes, 1, type);
    }
}

/* The positions [begin, end) of a tile as bits. */
TINI_INLINE uint64_t tini_avx512_seen(uint32_t begin, uint32_t end) {
    return begin >= end ? 0 : ~(uint64_t)0 << begin & ~(uint64_t)0 >> (TINI_KV_TILE - end);
}

/* Turns the scores of a tile, not yet times `scale`, into weights, and sets alpha. A position that is not seen weighs 0, which
 * leaves a partial sum as it was; a query that sees none has alpha = 1 and stays as it was. The largest score does not
 * depend on the order of comparisons, and which zero it is does not matter to exp. */
static void tini_avx512_weigh(tini_queries *s, float scale) {
    float highest[32];
    for (uint32_t i = 0; i < s->count; i++) {
        uint64_t seen = tini_avx512_seen(s->begin[i], s->end[i]);
        __m512 high = _mm512_set1_ps(s->maximum[i]);
        for (uint32_t k = 0; k < 4; k++) {
            __m512 score = _mm512_mul_ps(_mm512_loadu_ps(s->weights[i] + 16 * k), _mm512_set1_ps(scale));
            _mm512_storeu_ps(s->weights[i] + 16 * k, score);
            high = _mm512_mask_max_ps(high, (__mmask16)(seen >> 16 * k), high, score);
        }
        highest[i] = _mm512_reduce_max_ps(high);
    }
    for (uint32_t i = 0; i < s->count; i += 16) {
        __mmask16 queries = tini_avx512_first(s->count - i);
        __m512 now = _mm512_maskz_loadu_ps(queries, highest + i), before = _mm512_loadu_ps(s->maximum + i);
        __mmask16 higher = _mm512_cmp_ps_mask(now, before, _CMP_NEQ_UQ);
        __m512 alpha = tini_avx512_exp(_mm512_sub_ps(before, now));
        _mm512_storeu_ps(s->alpha + i, _mm512_mask_mov_ps(_mm512_set1_ps(1.0f), higher, alpha));
        _mm512_mask_storeu_ps(s->maximum + i, queries, now);
    }
    for (uint32_t i = 0; i < s->count; i++) {
        uint64_t seen = tini_avx512_seen(s->begin[i], s->end[i]);
        const __m512 maximum = _mm512_set1_ps(s->maximum[i]);
        __m512 lanes = _mm512_mul_ps(_mm512_loadu_ps(s->lanes[i]), _mm512_set1_ps(s->alpha[i]));
        for (uint32_t k = 0; k < 4; k++) {
            float *weights = s->weights[i] + 16 * k;
            __m512 weight = tini_avx512_exp(_mm512_sub_ps(_mm512_loadu_ps(weights), maximum));
            weight = _mm512_maskz_mov_ps((__mmask16)(seen >> 16 * k), weight);
            _mm512_storeu_ps(weights, weight);
            lanes = _mm512_add_ps(lanes, weight);
        }
        _mm512_storeu_ps(s->lanes[i], lanes);
    }
}

TINI_REGION_END

#endif
