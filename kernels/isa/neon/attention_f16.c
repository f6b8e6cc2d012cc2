#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include "attention.h"

/* Up to four heads share each key and value that is loaded and widened; a score sums over head_dim in order. */

TINI_REGION_NEON

void tini_neon_weigh(tini_neon_state *s, uint32_t h, uint32_t begin, uint32_t end, float cap) {
    float *weights = s->weights[h];
    tini_cap_row(weights + begin, end - begin, cap);
    uint32_t from = begin & ~15u, to = (end + 15) & ~15u;
    for (uint32_t p = from; p < begin; p++)
        weights[p] = -TINI_INFINITY;
    for (uint32_t p = end; p < to; p++)
        weights[p] = -TINI_INFINITY;
    float32x4_t high = vdupq_n_f32(s->maximum[h]);
    for (uint32_t p = from; p < to; p += 4)
        high = vmaxq_f32(high, vld1q_f32(weights + p));
    float highest = vmaxvq_f32(high);
    s->alpha[h] = tini_exp(s->maximum[h] - highest);
    s->maximum[h] = highest;
    const float32x4_t maximum = vdupq_n_f32(highest);
    for (uint32_t quarter = 0; quarter < 16; quarter += 4) {
        float32x4_t lanes = vmulq_n_f32(vld1q_f32(s->lanes[h] + quarter), s->alpha[h]);
        for (uint32_t p = from + quarter; p < to; p += 16) {
            float32x4_t weight = tini_neon_exp(vsubq_f32(vld1q_f32(weights + p), maximum));
            vst1q_f32(weights + p, weight);
            lanes = vaddq_f32(lanes, weight);
        }
        vst1q_f32(s->lanes[h] + quarter, lanes);
    }
}

/* Scores of 16 positions. keys [head_dim][16], q [heads][head_dim]. */
TINI_INLINE void tini_neon_scores(tini_neon_state *s, const uint16_t *keys, const float *q, uint32_t first,
                                  const uint32_t heads, uint32_t head_dim, float scale) {
    float32x4_t sum[TINI_NEON_HEADS][4];
    for (uint32_t h = 0; h < heads; h++)
        for (uint32_t k = 0; k < 4; k++)
            sum[h][k] = vdupq_n_f32(0.0f);
    TINI_NEON_ROLLED
    for (uint32_t d = 0; d < head_dim; d += 4) {
        float32x4_t four[TINI_NEON_HEADS];
        for (uint32_t h = 0; h < heads; h++)
            four[h] = vld1q_f32(q + h * head_dim + d);
        TINI_NEON_UNROLL
        for (uint32_t i = 0; i < 4; i++, keys += 16) {
            for (uint32_t k = 0; k < 4; k++) {
                float32x4_t key = tini_neon_halves(keys + 4 * k);
                for (uint32_t h = 0; h < heads; h++)
                    sum[h][k] = vaddq_f32(sum[h][k], vmulq_n_f32(key, four[h][i]));
            }
        }
    }
    for (uint32_t h = 0; h < heads; h++)
        for (uint32_t k = 0; k < 4; k++)
            vst1q_f32(s->weights[h] + first + 4 * k, vmulq_n_f32(sum[h][k], scale));
}

/* Adds elements [first, first + 4 * registers) of the values of the tile's positions [begin, end). values
 * [position][head_dim]. */
TINI_INLINE void tini_neon_gather(tini_neon_state *s, const uint16_t *values, uint32_t first, uint32_t begin,
                                  uint32_t end, const uint32_t registers, const uint32_t heads,
                                  uint32_t head_dim) {
    float32x4_t acc[TINI_NEON_HEADS][4];
    for (uint32_t h = 0; h < heads; h++)
        for (uint32_t k = 0; k < registers; k++)
            acc[h][k] = vmulq_n_f32(vld1q_f32(s->acc + h * head_dim + first + 4 * k), s->alpha[h]);
    values += first + (size_t)begin * head_dim;
    TINI_NEON_ROLLED
    for (uint32_t p = begin; p < end; p++, values += head_dim) {
        for (uint32_t k = 0; k < registers; k++) {
            float32x4_t v = tini_neon_halves(values + 4 * k);
            for (uint32_t h = 0; h < heads; h++)
                acc[h][k] = vaddq_f32(acc[h][k], vmulq_n_f32(v, s->weights[h][p]));
        }
    }
    for (uint32_t h = 0; h < heads; h++)
        for (uint32_t k = 0; k < registers; k++)
            vst1q_f32(s->acc + h * head_dim + first + 4 * k, acc[h][k]);
}

TINI_INLINE void tini_neon_heads(const tini_kv *kv, const tini_attention *a, uint32_t row, uint32_t head,
                                 const uint32_t heads) {
    const uint32_t head_dim = kv->head_dim, first = tini_attention_first(a, a->position + row);
    const uint32_t last = tini_attention_last(a, a->position + row);
    const float *q = a->q + row * a->q_stride + (size_t)head * head_dim;
    float *out = a->out + row * a->out_stride + (size_t)head * head_dim;
    tini_neon_state s;
    tini_neon_start(&s, heads, head_dim);
    for (uint32_t base = first - first % TINI_KV_TILE; base <= last; base += TINI_KV_TILE) {
        uint32_t begin = first > base ? first - base : 0;
        uint32_t end = last + 1 - base < TINI_KV_TILE ? last + 1 - base : TINI_KV_TILE;
        size_t place = base % kv->capacity;
        const uint16_t *keys = (const uint16_t *)kv->keys + place * head_dim,
                       *values = (const uint16_t *)kv->values + place * head_dim;
        for (uint32_t p = begin & ~15u; p < end; p += 16)
            tini_neon_scores(&s, keys + (size_t)p * head_dim, q, p, heads, head_dim, a->scale);
        for (uint32_t h = 0; h < heads; h++)
            tini_neon_weigh(&s, h, begin, end, a->cap);
        uint32_t d = 0;
        for (; d + 16 <= head_dim; d += 16)
            tini_neon_gather(&s, values, d, begin, end, 4, heads, head_dim);
        if (d < head_dim)
            tini_neon_gather(&s, values, d, begin, end, 2, heads, head_dim);
    }
    tini_neon_finish(&s, out, heads, head_dim);
}

void tini_attention_f16_neon(const tini_kv *kv, const tini_attention *a) {
    for (uint32_t row = 0; row < a->rows; row++) {
        for (uint32_t head = 0, n; head < a->heads; head += n) {
            n = tini_neon_together(a->heads, head, kv->head_dim);
            switch (n) {
            case 4:
                tini_neon_heads(kv, a, row, head, 4);
                break;
            case 3:
                tini_neon_heads(kv, a, row, head, 3);
                break;
            case 2:
                tini_neon_heads(kv, a, row, head, 2);
                break;
            default:
                tini_neon_heads(kv, a, row, head, 1);
            }
        }
    }
}

TINI_REGION_END
#endif
