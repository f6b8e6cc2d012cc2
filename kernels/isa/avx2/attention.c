#include "../../core/region.h"
#if TIN_HAVE_AVX2
#include "../../core/kernel.h"
#include "exp.h"
#include "rows.h"

/* Bits equal the scalar's: scores have one lane a position and sum over head_dim in order; the weights' 16 partial sums
 * are two registers; outputs have one lane an element and sum over positions in order. Up to four heads share each
 * key and value that is loaded and widened. A tile's positions past the end of its last group of 16 are given the score
 * -infinity: their weight is 0, which leaves a partial sum as it was; no value past `position` is read. */

enum { TINI_AVX2_HEADS = 4 };

typedef struct tini_avx2_state {
    float acc[TINI_AVX2_HEADS][256];
    float lanes[TINI_AVX2_HEADS][16];
    float weights[TINI_AVX2_HEADS][TINI_KV_TILE];
    float maximum[TINI_AVX2_HEADS], alpha[TINI_AVX2_HEADS];
} tini_avx2_state;

TINI_REGION_AVX2

/* Scores of 16 positions. keys [head_dim][16], q [heads][head_dim]. */
TINI_INLINE void tini_avx2_scores(tini_avx2_state *s, const uint16_t *keys, const float *q, uint32_t first,
                                  const uint32_t heads, uint32_t head_dim, float scale) {
    __m256 sum[TINI_AVX2_HEADS][2];
    for (uint32_t h = 0; h < heads; h++)
        sum[h][0] = sum[h][1] = _mm256_setzero_ps();
    for (uint32_t d = 0; d < head_dim; d++, keys += 16) {
        __m256 low = tini_avx2_halves(keys), high = tini_avx2_halves(keys + 8);
        for (uint32_t h = 0; h < heads; h++) {
            __m256 element = _mm256_set1_ps(q[h * head_dim + d]);
            sum[h][0] = _mm256_add_ps(sum[h][0], _mm256_mul_ps(element, low));
            sum[h][1] = _mm256_add_ps(sum[h][1], _mm256_mul_ps(element, high));
        }
    }
    for (uint32_t h = 0; h < heads; h++) {
        _mm256_storeu_ps(s->weights[h] + first, _mm256_mul_ps(sum[h][0], _mm256_set1_ps(scale)));
        _mm256_storeu_ps(s->weights[h] + first + 8, _mm256_mul_ps(sum[h][1], _mm256_set1_ps(scale)));
    }
}

/* Turns head h's scores of a tile into weights. */
TINI_INLINE void tini_avx2_weigh(tini_avx2_state *s, uint32_t h, uint32_t count) {
    float *weights = s->weights[h];
    uint32_t padded = (count + 15) & ~15u;
    for (uint32_t p = count; p < padded; p++)
        weights[p] = -TINI_INFINITY;
    __m256 high = _mm256_set1_ps(s->maximum[h]);
    for (uint32_t p = 0; p < padded; p += 8)
        high = _mm256_max_ps(high, _mm256_loadu_ps(weights + p));
    float eight[8];
    _mm256_storeu_ps(eight, high);
    float highest = eight[0];
    for (uint32_t j = 1; j < 8; j++)
        highest = eight[j] > highest ? eight[j] : highest;
    s->alpha[h] = tini_exp(s->maximum[h] - highest);
    s->maximum[h] = highest;
    const __m256 alpha = _mm256_set1_ps(s->alpha[h]), maximum = _mm256_set1_ps(highest);
    for (uint32_t half = 0; half < 16; half += 8) {
        __m256 lanes = _mm256_mul_ps(_mm256_loadu_ps(s->lanes[h] + half), alpha);
        for (uint32_t p = half; p < padded; p += 16) {
            __m256 weight = tini_avx2_exp(_mm256_sub_ps(_mm256_loadu_ps(weights + p), maximum));
            _mm256_storeu_ps(weights + p, weight);
            lanes = _mm256_add_ps(lanes, weight);
        }
        _mm256_storeu_ps(s->lanes[h] + half, lanes);
    }
}

/* Adds `count` values' elements [first, first + 8 * registers). values [position][head_dim]. */
TINI_INLINE void tini_avx2_gather(tini_avx2_state *s, const uint16_t *values, uint32_t first, uint32_t count,
                                  const uint32_t registers, const uint32_t heads, uint32_t head_dim) {
    __m256 acc[TINI_AVX2_HEADS][2];
    for (uint32_t h = 0; h < heads; h++)
        for (uint32_t k = 0; k < registers; k++)
            acc[h][k] = _mm256_mul_ps(_mm256_loadu_ps(s->acc[h] + first + 8 * k), _mm256_set1_ps(s->alpha[h]));
    values += first;
    for (uint32_t p = 0; p < count; p++, values += head_dim) {
        __m256 v[2];
        for (uint32_t k = 0; k < registers; k++)
            v[k] = tini_avx2_halves(values + 8 * k);
        for (uint32_t h = 0; h < heads; h++) {
            __m256 weight = _mm256_set1_ps(s->weights[h][p]);
            for (uint32_t k = 0; k < registers; k++)
                acc[h][k] = _mm256_add_ps(acc[h][k], _mm256_mul_ps(weight, v[k]));
        }
    }
    for (uint32_t h = 0; h < heads; h++)
        for (uint32_t k = 0; k < registers; k++)
            _mm256_storeu_ps(s->acc[h] + first + 8 * k, acc[h][k]);
}

TINI_INLINE void tini_avx2_heads(const tini_kv *kv, const float *q, float *out, const uint32_t heads,
                                 uint32_t head_dim, uint32_t position, float scale) {
    tini_avx2_state s;
    for (uint32_t h = 0; h < heads; h++) {
        memset(s.acc[h], 0, head_dim * sizeof(float));
        memset(s.lanes[h], 0, sizeof s.lanes[h]);
        s.maximum[h] = -TINI_INFINITY;
    }
    for (uint32_t base = 0; base <= position; base += TINI_KV_TILE) {
        uint32_t count = position + 1 - base < TINI_KV_TILE ? position + 1 - base : TINI_KV_TILE;
        const uint16_t *keys = kv->keys + (size_t)base * head_dim,
                       *values = kv->values + (size_t)base * head_dim;
        for (uint32_t p = 0; p < count; p += 16)
            tini_avx2_scores(&s, keys + (size_t)p * head_dim, q, p, heads, head_dim, scale);
        for (uint32_t h = 0; h < heads; h++)
            tini_avx2_weigh(&s, h, count);
        uint32_t d = 0;
        for (; d + 16 <= head_dim; d += 16)
            tini_avx2_gather(&s, values, d, count, 2, heads, head_dim);
        if (d < head_dim)
            tini_avx2_gather(&s, values, d, count, 1, heads, head_dim);
    }
    for (uint32_t h = 0; h < heads; h++) {
        float inverse = 1.0f / tini_sum16(s.lanes[h]);
        for (uint32_t d = 0; d < head_dim; d++)
            out[h * head_dim + d] = s.acc[h][d] * inverse;
    }
}

void tini_attention_avx2(const tini_kv *kv, const float *q, float *out, uint32_t heads, uint32_t head_dim,
                         uint32_t position, float scale) {
    for (; heads >= 4; heads -= 4, q += (size_t)4 * head_dim, out += (size_t)4 * head_dim)
        tini_avx2_heads(kv, q, out, 4, head_dim, position, scale);
    if (heads == 3)
        tini_avx2_heads(kv, q, out, 3, head_dim, position, scale);
    else if (heads == 2)
        tini_avx2_heads(kv, q, out, 2, head_dim, position, scale);
    else if (heads == 1)
        tini_avx2_heads(kv, q, out, 1, head_dim, position, scale);
}

TINI_REGION_END
#endif
