#include "../../core/region.h"
#if TIN_HAVE_AVX2
#include "../../core/kernel.h"
#include "exp.h"
#include "rows.h"

/* Bits equal the scalar's: scores have one lane a position and sum over head_dim in order; the weights' 16 partial sums
 * are two registers; outputs have one lane an element and sum over positions in order. Up to four heads share each
 * key and value that is loaded and widened. Positions of a group of 16 that are not seen are given the score -infinity:
 * their weight is 0, which leaves a partial sum as it was; their values are not read. */

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
TINI_INLINE void tini_avx2_weigh(tini_avx2_state *s, uint32_t h, uint32_t begin, uint32_t end) {
    float *weights = s->weights[h];
    uint32_t from = begin & ~15u, to = (end + 15) & ~15u;
    for (uint32_t p = from; p < begin; p++)
        weights[p] = -TINI_INFINITY;
    for (uint32_t p = end; p < to; p++)
        weights[p] = -TINI_INFINITY;
    __m256 high = _mm256_set1_ps(s->maximum[h]);
    for (uint32_t p = from; p < to; p += 8)
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
        for (uint32_t p = from + half; p < to; p += 16) {
            __m256 weight = tini_avx2_exp(_mm256_sub_ps(_mm256_loadu_ps(weights + p), maximum));
            _mm256_storeu_ps(weights + p, weight);
            lanes = _mm256_add_ps(lanes, weight);
        }
        _mm256_storeu_ps(s->lanes[h] + half, lanes);
    }
}

/* Adds elements [first, first + 8 * registers) of the values of the tile's positions [begin, end). values
 * [position][head_dim]. */
TINI_INLINE void tini_avx2_gather(tini_avx2_state *s, const uint16_t *values, uint32_t first, uint32_t begin,
                                  uint32_t end, const uint32_t registers, const uint32_t heads,
                                  uint32_t head_dim) {
    __m256 acc[TINI_AVX2_HEADS][2];
    for (uint32_t h = 0; h < heads; h++)
        for (uint32_t k = 0; k < registers; k++)
            acc[h][k] = _mm256_mul_ps(_mm256_loadu_ps(s->acc[h] + first + 8 * k), _mm256_set1_ps(s->alpha[h]));
    values += first + (size_t)begin * head_dim;
    for (uint32_t p = begin; p < end; p++, values += head_dim) {
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

TINI_INLINE void tini_avx2_heads(const tini_kv *kv, const tini_attention *a, uint32_t row, uint32_t head,
                                 const uint32_t heads) {
    uint32_t head_dim = kv->head_dim, position = a->position + row, first = tini_attention_first(a, position);
    const float *q = a->q + row * a->q_stride + (size_t)head * head_dim;
    float *out = a->out + row * a->out_stride + (size_t)head * head_dim;
    tini_avx2_state s;
    for (uint32_t h = 0; h < heads; h++) {
        memset(s.acc[h], 0, head_dim * sizeof(float));
        memset(s.lanes[h], 0, sizeof s.lanes[h]);
        s.maximum[h] = -TINI_INFINITY;
    }
    for (uint32_t base = first - first % TINI_KV_TILE; base <= position; base += TINI_KV_TILE) {
        uint32_t begin = first > base ? first - base : 0;
        uint32_t end = position + 1 - base < TINI_KV_TILE ? position + 1 - base : TINI_KV_TILE;
        size_t place = base % kv->capacity;
        const uint16_t *keys = (const uint16_t *)kv->keys + place * head_dim,
                       *values = (const uint16_t *)kv->values + place * head_dim;
        for (uint32_t p = begin & ~15u; p < end; p += 16)
            tini_avx2_scores(&s, keys + (size_t)p * head_dim, q, p, heads, head_dim, a->scale);
        for (uint32_t h = 0; h < heads; h++)
            tini_avx2_weigh(&s, h, begin, end);
        uint32_t d = 0;
        for (; d + 16 <= head_dim; d += 16)
            tini_avx2_gather(&s, values, d, begin, end, 2, heads, head_dim);
        if (d < head_dim)
            tini_avx2_gather(&s, values, d, begin, end, 1, heads, head_dim);
    }
    for (uint32_t h = 0; h < heads; h++) {
        float inverse = 1.0f / tini_sum16(s.lanes[h]);
        for (uint32_t d = 0; d < head_dim; d++)
            out[h * head_dim + d] = s.acc[h][d] * inverse;
    }
}

void tini_attention_f16_avx2(const tini_kv *kv, const tini_attention *a) {
    for (uint32_t row = 0; row < a->rows; row++) {
        uint32_t head = 0;
        for (; head + 4 <= a->heads; head += 4)
            tini_avx2_heads(kv, a, row, head, 4);
        if (a->heads - head == 3)
            tini_avx2_heads(kv, a, row, head, 3);
        else if (a->heads - head == 2)
            tini_avx2_heads(kv, a, row, head, 2);
        else if (a->heads - head == 1)
            tini_avx2_heads(kv, a, row, head, 1);
    }
}

TINI_REGION_END
#endif
