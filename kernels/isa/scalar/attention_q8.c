#include "kv_q8.h"

TINI_REGION_REFERENCE

/* As attention_f16, but for scores and values. The query is quantized by tini_quantize_q8; with s its block's scale, and for
 * the same 32 elements d the cache's scale and q its int8 values:
 *
 *     score[p] = (sum over blocks in order, from 0, of (float)(sum of q of query and key) * (d * s)) * scale
 *     acc[e]   = acc[e] * alpha, then + (w[p] * d) * (float)q[e] for each p, in order */
static void tini_attention_head_q8(const tini_kv *kv, const float *q, float *out, uint32_t first, uint32_t last,
                                   float scale, float cap) {
    float acc[TINI_HEAD_DIM] = {0}, lanes[16] = {0}, weights[TINI_KV_TILE];
    float maximum = -TINI_INFINITY;
    uint32_t head_dim = kv->head_dim, blocks = head_dim / TINI_BLOCK;
    tini_q8 query[TINI_HEAD_DIM / TINI_BLOCK];
    tini_quantize_q8_scalar(query, q, head_dim);
    for (uint32_t base = first - first % TINI_KV_TILE; base <= last; base += TINI_KV_TILE) {
        uint32_t begin = first > base ? first - base : 0;
        uint32_t end = last + 1 - base < TINI_KV_TILE ? last + 1 - base : TINI_KV_TILE;
        uint32_t place = base % kv->capacity;
        float highest = maximum;
        for (uint32_t p = begin; p < end; p++) {
            tini_kv_place at = tini_kv_place_q8(kv, place + p);
            float score = 0.0f;
            for (uint32_t b = 0; b < blocks; b++, tini_kv_next_q8(&at)) {
                int32_t sum = 0;
                for (uint32_t i = 0; i < TINI_BLOCK; i++)
                    sum += ((int32_t)at.key_q[i / 4 * 64 + i % 4] - 128) * query[b].q[i];
                score = score + (float)sum * (tini_f16_to_f32(tini_load_u16(at.key)) * query[b].scale);
            }
            weights[p] = cap == 0.0f ? score * scale : tini_soft_cap(score * scale, cap);
            highest = weights[p] > highest ? weights[p] : highest;
        }
        float alpha = tini_exp(maximum - highest);
        maximum = highest;
        for (uint32_t j = 0; j < 16; j++)
            lanes[j] = lanes[j] * alpha;
        for (uint32_t e = 0; e < head_dim; e++)
            acc[e] = acc[e] * alpha;
        for (uint32_t p = begin; p < end; p++) {
            tini_kv_place at = tini_kv_place_q8(kv, place + p);
            float weight = tini_exp(weights[p] - maximum);
            lanes[p % 16] = lanes[p % 16] + weight;
            for (uint32_t e = 0; e < head_dim; e += TINI_BLOCK, tini_kv_next_q8(&at)) {
                float scaled = weight * tini_f16_to_f32(tini_load_u16(at.value));
                for (uint32_t i = 0; i < TINI_BLOCK; i++)
                    acc[e + i] = acc[e + i] + scaled * (float)(int8_t)at.value_q[i];
            }
        }
    }
    float inverse = 1.0f / tini_sum16(lanes);
    for (uint32_t e = 0; e < head_dim; e++)
        out[e] = acc[e] * inverse;
}

void tini_attention_q8_scalar(const tini_kv *kv, const tini_attention *a) {
    for (uint32_t r = 0; r < a->rows; r++) {
        uint32_t position = a->position + r;
        for (uint32_t head = 0; head < a->heads; head++)
            tini_attention_head_q8(kv, a->q + r * a->q_stride + head * kv->head_dim,
                                   a->out + r * a->out_stride + head * kv->head_dim,
                                   tini_attention_first(a, position), tini_attention_last(a, position),
                                   a->scale, a->cap);
    }
}

TINI_REGION_END
