#include "../../core/kernel.h"
#include "../../core/math.h"

TINI_REGION_SCALAR

/* Per head, over the tiles of 64 positions in order, with m = -infinity, l[16] = 0 and acc[head_dim] = 0 before
 * them:
 *
 *     score[p] = (sum over d in order, from 0, of q[d] * k[d][p]) * scale     for the tile's p <= position
 *     m'       = max(m, the scores)
 *     alpha    = exp(m - m');  w[p] = exp(score[p] - m')
 *     l[j]     = l[j] * alpha, then + w[p] for each p with p % 16 == j, in order
 *     acc[d]   = acc[d] * alpha, then + w[p] * v[p][d] for each p, in order
 *
 * and at last out[d] = acc[d] * (1 / the sum of l by tini_sum16). Keys and values widen exactly to float32; exp
 * is tini_exp, so the first tile's alpha is 0, and 1 exactly where the maximum stays. */
static void tini_attention_head(const tini_kv *kv, const float *q, float *out, uint32_t head_dim,
                                uint32_t position, float scale) {
    float acc[256] = {0}, lanes[16] = {0}, weights[TINI_KV_TILE];
    float maximum = -TINI_INFINITY;
    for (uint32_t base = 0; base <= position; base += TINI_KV_TILE) {
        uint32_t count = position + 1 - base < TINI_KV_TILE ? position + 1 - base : TINI_KV_TILE;
        float highest = maximum;
        for (uint32_t p = 0; p < count; p++) {
            const uint16_t *k =
                kv->keys + (size_t)((base + p) / TINI_TILE) * head_dim * TINI_TILE + p % TINI_TILE;
            float score = 0.0f;
            for (uint32_t d = 0; d < head_dim; d++)
                score = score + q[d] * tini_f16_to_f32(k[d * TINI_TILE]);
            weights[p] = score * scale;
            highest = weights[p] > highest ? weights[p] : highest;
        }
        float alpha = tini_exp(maximum - highest);
        maximum = highest;
        for (uint32_t j = 0; j < 16; j++)
            lanes[j] = lanes[j] * alpha;
        for (uint32_t d = 0; d < head_dim; d++)
            acc[d] = acc[d] * alpha;
        for (uint32_t p = 0; p < count; p++) {
            const uint16_t *v = kv->values + (size_t)(base + p) * head_dim;
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

void tini_attention_scalar(const tini_kv *kv, const float *q, float *out, uint32_t heads, uint32_t head_dim,
                           uint32_t position, float scale) {
    for (uint32_t head = 0; head < heads; head++)
        tini_attention_head(kv, q + (size_t)head * head_dim, out + (size_t)head * head_dim, head_dim, position,
                            scale);
}

TINI_REGION_END
