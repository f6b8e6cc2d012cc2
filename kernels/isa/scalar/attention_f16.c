#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_REFERENCE

/* Per row and head, over the tiles of 64 positions in order (each begins at a multiple of 64) that hold a position
 * seen, with m = -infinity, l[16] = 0 and acc[head_dim] = 0 before them:
 *
 *     score[p] = (sum over d in order, from 0, of q[d] * k[d][p]) * scale     for the tile's p that are seen;
 *                 with a cap then tini_soft_cap of it
 *     m'       = max(m, the scores)
 *     alpha    = exp(m - m');  w[p] = exp(score[p] - m')
 *     l[j]     = l[j] * alpha, then + w[p] for each p with p % 16 == j, in order
 *     acc[d]   = acc[d] * alpha, then + w[p] * v[p][d] for each p, in order
 *
 * and at last out[d] = acc[d] * (1 / the sum of l by tini_sum16). Keys and values widen exactly to float32; exp
 * is tini_exp, so the first tile's alpha is 0, and 1 exactly where the maximum stays. */
static void tini_attention_head(const tini_kv *kv, const float *q, float *out, uint32_t first, uint32_t last,
                                float scale, float cap) {
    float acc[TINI_HEAD_DIM] = {0}, lanes[16] = {0}, weights[TINI_KV_TILE];
    float maximum = -TINI_INFINITY;
    uint32_t head_dim = kv->head_dim;
    for (uint32_t base = first - first % TINI_KV_TILE; base <= last; base += TINI_KV_TILE) {
        uint32_t begin = first > base ? first - base : 0;
        uint32_t end = last + 1 - base < TINI_KV_TILE ? last + 1 - base : TINI_KV_TILE;
        size_t place = base % kv->capacity;
        const uint16_t *keys = (const uint16_t *)kv->keys + place * head_dim,
                       *values = (const uint16_t *)kv->values + place * head_dim;
        float highest = maximum;
        for (uint32_t p = begin; p < end; p++) {
            const uint16_t *k = keys + (size_t)(p / TINI_TILE) * head_dim * TINI_TILE + p % TINI_TILE;
            float score = 0.0f;
            for (uint32_t d = 0; d < head_dim; d++)
                score = score + q[d] * tini_f16_to_f32(k[d * TINI_TILE]);
            weights[p] = cap == 0.0f ? score * scale : tini_soft_cap(score * scale, cap);
            highest = weights[p] > highest ? weights[p] : highest;
        }
        float alpha = tini_exp(maximum - highest);
        maximum = highest;
        for (uint32_t j = 0; j < 16; j++)
            lanes[j] = lanes[j] * alpha;
        for (uint32_t d = 0; d < head_dim; d++)
            acc[d] = acc[d] * alpha;
        for (uint32_t p = begin; p < end; p++) {
            const uint16_t *v = values + (size_t)p * head_dim;
            float weight = tini_exp(weights[p] - maximum);
            lanes[p % 16] = lanes[p % 16] + weight;
            for (uint32_t d = 0; d < head_dim; d++)
                acc[d] = acc[d] + weight * tini_f16_to_f32(v[d]);
        }
    }
    float inverse = 1.0f / tini_sum16(lanes);
    for (uint32_t d = 0; d < head_dim; d++)
        out[d] = acc[d] * inverse;
}

void tini_attention_f16_scalar(const tini_kv *kv, const tini_attention *a) {
    for (uint32_t r = 0; r < a->rows; r++) {
        uint32_t position = a->position + r;
        for (uint32_t head = 0; head < a->heads; head++)
            tini_attention_head(kv, a->q + r * a->q_stride + head * kv->head_dim,
                                a->out + r * a->out_stride + head * kv->head_dim,
                                tini_attention_first(a, position), tini_attention_last(a, position), a->scale,
                                a->cap);
    }
}

TINI_REGION_END
