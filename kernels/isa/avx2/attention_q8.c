#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include "attention.h"

/* Bits equal the scalar's for the reasons of attention.h, and: a key's magnitude, at most 128, times the query's q with the
 * key's sign, at most 127, is exact in int16 for two products, at most 32512 together, and their sums in int32. */

TINI_REGION_AVX2

/* Scores at 8 positions from `first` on of queries [i, i + queries). */
TINI_INLINE void tini_avx2_scores_8(tini_q8_queries *t, uint32_t i, uint32_t first, const uint32_t queries) {
    const uint8_t *keys = t->s.keys + first / TINI_TILE * t->group_bytes;
    const uint8_t *ahead = t->s.values + first / 8 * (t->group_bytes / 2);
    const uint32_t half = first % TINI_TILE;
    const uint32_t together = queries <= 2 ? 8 : 2; /* few queries leave the loop's own work in sight */
    __m256 score[TINI_PANEL];
    TINI_UNROLL
    for (uint32_t k = 0; k < queries; k++)
        score[k] = _mm256_setzero_ps();
    const tini_q8 *q = t->q + i;
    for (uint32_t b = 0; b < t->s.head_dim / TINI_BLOCK; b++, keys += 34 * TINI_TILE, q += t->s.count) {
        __m256i sum[TINI_PANEL];
        TINI_UNROLL
        for (uint32_t k = 0; k < queries; k++)
            sum[k] = _mm256_setzero_si256();
        for (uint32_t at = 0; at < 8; at += together) {
            TINI_UNROLL
            for (uint32_t j = at; j < at + together; j++) {
                __m256i key = tini_avx2_bytes(keys + 2 * TINI_TILE + 64 * j + 4 * half);
                key = _mm256_xor_si256(key, _mm256_set1_epi8((char)0x80));
                const __m256i magnitude = _mm256_abs_epi8(key);
                if (queries <= 4)
                    _mm_prefetch((const char *)ahead + 34 * j, _MM_HINT_T0);
                TINI_UNROLL
                for (uint32_t k = 0; k < queries; k++) {
                    int32_t four;
                    memcpy(&four, q[k].q + 4 * j, 4);
                    __m256i pairs =
                        _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(_mm256_set1_epi32(four), key));
                    sum[k] = _mm256_add_epi32(sum[k], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
                }
            }
        }
        ahead += 8 * 34;
        const __m256 d = tini_avx2_halves(keys + 2 * half);
        TINI_UNROLL
        for (uint32_t k = 0; k < queries; k++) {
            __m256 scale = _mm256_mul_ps(d, _mm256_set1_ps(q[k].scale));
            score[k] = _mm256_add_ps(score[k], _mm256_mul_ps(_mm256_cvtepi32_ps(sum[k]), scale));
        }
    }
    TINI_UNROLL
    for (uint32_t k = 0; k < queries; k++)
        _mm256_storeu_ps(t->s.weights[i + k] + first, score[k]);
}

static void tini_avx2_scores_q8(tini_q8_queries *t) {
    for (uint32_t i = 0, n; i < t->s.count; i += n) {
        n = tini_queries_panel(&t->s, i);
        for (uint32_t p = t->s.low & ~7u; p < t->s.high; p += 8)
            switch (n) {
            case 6:
                tini_avx2_scores_8(t, i, p, 6);
                break;
            case 4:
                tini_avx2_scores_8(t, i, p, 4);
                break;
            case 3:
                tini_avx2_scores_8(t, i, p, 3);
                break;
            case 2:
                tini_avx2_scores_8(t, i, p, 2);
                break;
            default:
                tini_avx2_scores_8(t, i, p, 1);
            }
    }
}

static void tini_avx2_scale_q8(tini_q8_queries *t, const uint8_t *scales) {
    for (uint32_t p = 0; p < TINI_KV_TILE; p += 8) {
        const __m256 d = tini_avx2_halves(scales + p / TINI_TILE * t->group_bytes + p % TINI_TILE * 2);
        for (uint32_t i = 0; i < t->s.count; i++)
            _mm256_storeu_ps(t->weights[i] + p, _mm256_mul_ps(_mm256_loadu_ps(t->s.weights[i] + p), d));
    }
}

static void tini_avx2_widen_q8(tini_queries *s, const uint8_t *values, size_t row_bytes, size_t skip) {
    for (uint32_t p = s->low; p < s->high; p++) {
        const uint8_t *at = values + p * row_bytes + p / TINI_TILE * skip;
        TINI_UNROLL
        for (uint32_t e = 0; e < TINI_BLOCK; e += 8)
            _mm256_storeu_ps(s->wide[p] + e, tini_avx2_int8(at + e));
    }
}

void tini_attention_q8_avx2(const tini_kv *kv, const tini_attention *a) {
    static const tini_q8_steps steps = {tini_product_avx2, tini_weigh_avx2, tini_avx2_scores_q8,
                                        tini_avx2_scale_q8, tini_avx2_widen_q8};
    tini_attention_q8_walk(kv, a, &steps);
}

TINI_REGION_END
#endif
