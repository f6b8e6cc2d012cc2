#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include "attention.h"

/* Bits equal the scalar's for the reasons of attention_f16, and: a key's magnitude, at most 128, times the query's q with the
 * key's sign, at most 127, is exact in int16 for two products, at most 32512 together, and their sums in int32. */

typedef struct tini_avx2_q8 {
    tini_queries s;
    tini_q8 q[TINI_QUERIES][TINI_HEAD_DIM / TINI_BLOCK];
    float weights[TINI_QUERIES][TINI_KV_TILE]; /* times the scales of a block of values */
    size_t group_bytes;
} tini_avx2_q8;

TINI_REGION_AVX2

/* Scores at 8 positions from `first` on of queries [i, i + queries). */
TINI_INLINE void tini_avx2_scores_8(tini_avx2_q8 *t, uint32_t i, uint32_t first, const uint32_t queries) {
    const uint8_t *keys = t->s.keys + first / TINI_TILE * t->group_bytes;
    const uint8_t *ahead = t->s.values + first / 8 * (t->group_bytes / 2);
    const uint32_t half = first % TINI_TILE;
    const uint32_t together = queries <= 2 ? 8 : 2; /* few queries leave the loop's own work in sight */
    __m256 score[TINI_PANEL];
    TINI_UNROLL
    for (uint32_t k = 0; k < queries; k++)
        score[k] = _mm256_setzero_ps();
    for (uint32_t b = 0; b < t->s.head_dim / TINI_BLOCK; b++, keys += 34 * TINI_TILE) {
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
                    memcpy(&four, t->q[i + k][b].q + 4 * j, 4);
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
            __m256 scale = _mm256_mul_ps(d, _mm256_set1_ps(t->q[i + k][b].scale));
            score[k] = _mm256_add_ps(score[k], _mm256_mul_ps(_mm256_cvtepi32_ps(sum[k]), scale));
        }
    }
    TINI_UNROLL
    for (uint32_t k = 0; k < queries; k++)
        _mm256_storeu_ps(t->s.weights[i + k] + first, score[k]);
}

static void tini_avx2_scores_q8(tini_avx2_q8 *t) {
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

static void tini_avx2_outputs_q8(tini_avx2_q8 *t) {
    tini_queries *s = &t->s;
    const uint32_t blocks = s->head_dim / TINI_BLOCK, header = blocks * 2 * TINI_TILE;
    for (uint32_t b = 0; b < blocks; b++) {
        for (uint32_t p = 0; p < TINI_KV_TILE; p += 8) {
            const uint8_t *scales = s->values + p / TINI_TILE * t->group_bytes + b * 2 * TINI_TILE;
            const __m256 d = tini_avx2_halves(scales + p % TINI_TILE * 2);
            for (uint32_t i = 0; i < s->count; i++)
                _mm256_storeu_ps(t->weights[i] + p, _mm256_mul_ps(_mm256_loadu_ps(s->weights[i] + p), d));
        }
        tini_product m = {.source = TINI_BYTES,
                          .lanes = TINI_LANES,
                          .b = s->values + header + b * TINI_BLOCK,
                          .row_bytes = s->head_dim,
                          .group_bytes = header,
                          .ahead = s->ahead + (size_t)b * TINI_KV_TILE * (TINI_BLOCK + 2)};
        if (s->count > TINI_FEW) {
            for (uint32_t p = s->low; p < s->high; p++) {
                const uint8_t *values = m.b + p * m.row_bytes + p / TINI_TILE * m.group_bytes;
                TINI_UNROLL
                for (uint32_t e = 0; e < TINI_BLOCK; e += 8)
                    _mm256_storeu_ps(s->wide[p] + e, tini_avx2_int8(values + e));
            }
            m.source = TINI_FLOATS;
            m.b = (const uint8_t *)s->wide;
            m.row_bytes = sizeof s->wide[0];
        }
        tini_queries_gather(s, &m, (const float (*)[TINI_KV_TILE])t->weights, b * TINI_BLOCK,
                            tini_product_avx2);
    }
}

void tini_attention_q8_avx2(const tini_kv *kv, const tini_attention *a) {
    const size_t bytes = tini_kv_place_bytes(TIN_KV_Q8, kv->head_dim);
    tini_avx2_q8 t; /* large: not cleared */
    tini_queries *s = &t.s;
    t.group_bytes = TINI_TILE * bytes;
    for (uint32_t from = 0; from < a->rows * a->heads; from += s->count) {
        tini_queries_take(s, kv, a, from);
        for (uint32_t i = 0; i < s->count; i++)
            tini_quantize_q8_avx2(t.q[i], s->q[i], kv->head_dim);
        for (uint32_t base = s->first[0] - s->first[0] % TINI_KV_TILE; base <= s->last[s->count - 1];
             base += TINI_KV_TILE) {
            tini_queries_tile(s, kv, base, bytes);
            tini_avx2_scores_q8(&t);
            tini_weigh_avx2(s, a);
            tini_avx2_outputs_q8(&t);
        }
        tini_queries_finish(s, a);
    }
}

TINI_REGION_END
#endif
