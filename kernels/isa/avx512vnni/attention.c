#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "attention.h"
#include "exp.h"

TINI_REGION_AVX512VNNI

/* The positions [begin, end) of a tile as bits. */
TINI_INLINE uint64_t tini_avx512_visible(uint32_t begin, uint32_t end) {
    return begin >= end ? 0 : ~(uint64_t)0 << begin & ~(uint64_t)0 >> (TINI_KV_TILE - end);
}

void tini_weigh_avx512vnni(tini_queries *s, const tini_attention *a) {
    const float scale = tini_queries_cap(s, a);
    float highest[TINI_QUERIES];
    for (uint32_t i = 0; i < s->count; i++) {
        uint64_t seen = tini_avx512_visible(s->begin[i], s->end[i]);
        __m512 high = _mm512_set1_ps(s->maximum[i]);
        TINI_UNROLL
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
        uint64_t seen = tini_avx512_visible(s->begin[i], s->end[i]);
        const __m512 maximum = _mm512_set1_ps(s->maximum[i]);
        __m512 lanes = _mm512_mul_ps(_mm512_loadu_ps(s->lanes[i]), _mm512_set1_ps(s->alpha[i]));
        TINI_UNROLL
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

/* The product of queries [i, i + queries) for lanes [first, first + 16 * registers). */
TINI_INLINE void tini_avx512_multiply(const tini_product *m, uint32_t i, uint32_t first, const uint32_t queries,
                                      const uint32_t registers, const int source) {
    const float *a[TINI_PANEL];
    __m512 sum[TINI_PANEL][4];
    float *out = m->out + i * m->out_stride + first;
    TINI_UNROLL
    for (uint32_t k = 0; k < queries; k++)
        a[k] = m->a[i + k];
    if (source == TINI_BYTES || m->factor) {
        TINI_UNROLL
        for (uint32_t k = 0; k < queries; k++) {
            const __m512 factor = _mm512_set1_ps(m->factor[i + k]);
            TINI_UNROLL
            for (uint32_t r = 0; r < registers; r++)
                sum[k][r] = _mm512_mul_ps(_mm512_loadu_ps(out + k * m->out_stride + 16 * r), factor);
        }
    } else {
        TINI_UNROLL
        for (uint32_t k = 0; k < queries; k++) {
            TINI_UNROLL
            for (uint32_t r = 0; r < registers; r++)
                sum[k][r] = _mm512_setzero_ps();
        }
    }
    const uint8_t *b = m->b + m->begin * m->row_bytes + first * 4, *ahead = m->ahead;
    if (source == TINI_BYTES)
        b += m->begin / 16 * m->group_bytes;
    for (size_t p = m->begin; p < m->end; p++, b += m->row_bytes) {
        __m512 row[4];
        TINI_UNROLL
        for (uint32_t r = 0; r < registers; r++)
            row[r] = source == TINI_FLOATS  ? _mm512_loadu_ps(b + 64 * r)
                     : source == TINI_BYTES ? tini_avx512_int8(b + 16 * r)
                                            : tini_avx512_halves(b + r * m->register_bytes);
        if (source == TINI_HALVES) {
            _mm_prefetch((const char *)ahead + 128 * p, _MM_HINT_T0);
            _mm_prefetch((const char *)ahead + 128 * p + 64, _MM_HINT_T0);
        }
        if (source == TINI_BYTES) {
            _mm_prefetch((const char *)ahead + 34 * p, _MM_HINT_T0);
            b += p % 16 == 15 ? m->group_bytes : 0;
        }
        TINI_UNROLL
        for (uint32_t k = 0; k < queries; k++) {
            const __m512 element = _mm512_set1_ps(a[k][p]);
            TINI_UNROLL
            for (uint32_t r = 0; r < registers; r++)
                sum[k][r] = _mm512_add_ps(sum[k][r], _mm512_mul_ps(element, row[r]));
        }
    }
    TINI_UNROLL
    for (uint32_t k = 0; k < queries; k++) {
        TINI_UNROLL
        for (uint32_t r = 0; r < registers; r++)
            _mm512_storeu_ps(out + k * m->out_stride + 16 * r, sum[k][r]);
    }
}

static void tini_avx512_widened(const tini_product *m) {
    for (uint32_t i = 0, n; i < m->queries; i += n) {
        uint32_t left = m->queries - i;
        n = left == 6 || left == 4 ? left : left >= 3 ? 3 : 1;
        if (n == 6 && m->lanes == 64) {
            tini_avx512_multiply(m, i, 0, 6, 4, TINI_FLOATS);
            continue;
        }
        for (uint32_t first = 0; first < m->lanes; first += 32)
            if (n == 6)
                tini_avx512_multiply(m, i, first, 6, 2, TINI_FLOATS);
            else if (n == 4)
                tini_avx512_multiply(m, i, first, 4, 2, TINI_FLOATS);
            else if (n == 3)
                tini_avx512_multiply(m, i, first, 3, 2, TINI_FLOATS);
            else
                tini_avx512_multiply(m, i, first, 1, 2, TINI_FLOATS);
    }
}

TINI_INLINE void tini_avx512_memory(const tini_product *m, const uint32_t registers, const int source) {
    switch (m->queries) {
    case 4:
        tini_avx512_multiply(m, 0, 0, 4, registers, source);
        break;
    case 3:
        tini_avx512_multiply(m, 0, 0, 3, registers, source);
        break;
    case 2:
        tini_avx512_multiply(m, 0, 0, 2, registers, source);
        break;
    default:
        tini_avx512_multiply(m, 0, 0, 1, registers, source);
    }
}

void tini_product_avx512vnni(const tini_product *m) {
    if (m->source == TINI_HALVES)
        tini_avx512_memory(m, 4, TINI_HALVES);
    else if (m->source == TINI_BYTES)
        tini_avx512_memory(m, 2, TINI_BYTES);
    else
        tini_avx512_widened(m);
}

TINI_REGION_END
#endif
