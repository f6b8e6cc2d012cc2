#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "attention.h"

/* Bits equal the scalar's for the reasons of attention.h, and: VPDPBUSD adds products of unsigned and signed bytes into int32
 * without saturation, so the sum over a block, from -128 times the sum of the query's q on, is exact. */

TINI_REGION_AVX512VNNI

/* Scores at 32 positions from `first` on of queries [i, i + queries). */
TINI_INLINE void tini_avx512_scores_32(tini_q8_queries *t, uint32_t i, uint32_t first, const uint32_t queries) {
    const uint8_t *keys = t->s.keys + first / TINI_TILE * t->group_bytes;
    const uint8_t *ahead = t->s.values + first / TINI_TILE * t->group_bytes;
    __m512 score[TINI_PANEL][2];
    TINI_UNROLL
    for (uint32_t k = 0; k < queries; k++)
        score[k][0] = score[k][1] = _mm512_setzero_ps();
    const tini_q8 *q = t->q + i;
    for (uint32_t b = 0; b < t->s.head_dim / TINI_BLOCK; b++, keys += 34 * TINI_TILE, q += t->s.count) {
        __m512i sum[TINI_PANEL][2];
        TINI_UNROLL
        for (uint32_t k = 0; k < queries; k++)
            sum[k][0] = sum[k][1] = _mm512_set1_epi32((int32_t)(0u - 128u * (uint32_t)q[k].sum));
        TINI_UNROLL
        for (uint32_t j = 0; j < 8; j++) {
            __m512i low = _mm512_loadu_si512(keys + 2 * TINI_TILE + 64 * j);
            __m512i high = _mm512_loadu_si512(keys + t->group_bytes + 2 * TINI_TILE + 64 * j);
            if (queries <= 4) {
                _mm_prefetch((const char *)ahead + 136 * j, _MM_HINT_T0);
                _mm_prefetch((const char *)ahead + 136 * j + 64, _MM_HINT_T0);
            }
            TINI_UNROLL
            for (uint32_t k = 0; k < queries; k++) {
                int32_t four;
                memcpy(&four, q[k].q + 4 * j, 4);
                sum[k][0] = _mm512_dpbusd_epi32(sum[k][0], low, _mm512_set1_epi32(four));
                sum[k][1] = _mm512_dpbusd_epi32(sum[k][1], high, _mm512_set1_epi32(four));
            }
        }
        ahead += 8 * 136;
        const __m512 d[2] = {tini_avx512_halves(keys), tini_avx512_halves(keys + t->group_bytes)};
        TINI_UNROLL
        for (uint32_t k = 0; k < queries; k++)
            TINI_UNROLL
        for (uint32_t g = 0; g < 2; g++) {
            __m512 scale = _mm512_mul_ps(d[g], _mm512_set1_ps(q[k].scale));
            score[k][g] = _mm512_add_ps(score[k][g], _mm512_mul_ps(_mm512_cvtepi32_ps(sum[k][g]), scale));
        }
    }
    TINI_UNROLL
    for (uint32_t k = 0; k < queries; k++) {
        _mm512_storeu_ps(t->s.weights[i + k] + first, score[k][0]);
        _mm512_storeu_ps(t->s.weights[i + k] + first + 16, score[k][1]);
    }
}

static void tini_avx512_scores_q8(tini_q8_queries *t) {
    for (uint32_t i = 0, n; i < t->s.count; i += n) {
        n = tini_queries_panel(&t->s, i);
        for (uint32_t p = t->s.low & ~31u; p < t->s.high; p += 32)
            switch (n) {
            case 6:
                tini_avx512_scores_32(t, i, p, 6);
                break;
            case 4:
                tini_avx512_scores_32(t, i, p, 4);
                break;
            case 3:
                tini_avx512_scores_32(t, i, p, 3);
                break;
            case 2:
                tini_avx512_scores_32(t, i, p, 2);
                break;
            default:
                tini_avx512_scores_32(t, i, p, 1);
            }
    }
}

static void tini_avx512_scale_q8(tini_q8_queries *t, const uint8_t *scales) {
    for (uint32_t g = 0; g < TINI_KV_TILE / TINI_TILE; g++) {
        const __m512 d = tini_avx512_halves(scales + g * t->group_bytes);
        for (uint32_t i = 0; i < t->s.count; i++)
            _mm512_storeu_ps(t->weights[i] + 16 * g,
                             _mm512_mul_ps(_mm512_loadu_ps(t->s.weights[i] + 16 * g), d));
    }
}

static void tini_avx512_widen_q8(tini_queries *s, const uint8_t *values, size_t row_bytes, size_t skip) {
    for (uint32_t p = s->low; p < s->high; p++) {
        const uint8_t *at = values + p * row_bytes + p / TINI_TILE * skip;
        _mm512_storeu_ps(s->wide[p], tini_avx512_int8(at));
        _mm512_storeu_ps(s->wide[p] + 16, tini_avx512_int8(at + 16));
    }
}

void tini_attention_q8_avx512vnni(const tini_kv *kv, const tini_attention *a) {
    static const tini_q8_steps steps = {tini_product_avx512vnni, tini_weigh_avx512vnni, tini_avx512_scores_q8,
                                        tini_avx512_scale_q8, tini_avx512_widen_q8};
    tini_attention_q8_walk(kv, a, &steps);
}

TINI_REGION_END
#endif
