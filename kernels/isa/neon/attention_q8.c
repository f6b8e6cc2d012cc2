#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include "attention_q8.h"
#include "attention.h"

/* Scores are what a Q8_0 matmul makes of the keys, which lie as packed tiles do, and the
 * heads' quantized queries: (sum over blocks in order of (float)(sum of q) * (d * s)), then times the scale. */

TINI_REGION_NEON

/* Adds elements [0, 16) of a block of the values of positions [begin, end) of a tile, whose scales are in `scaled`, the
 * heads' weights times them. values: of the tile's first position, groups of 16 group_bytes apart. */
TINI_INLINE void tini_neon_gather_q8(float *acc[TINI_NEON_HEADS], const float *alpha,
                                     const float scaled[TINI_NEON_HEADS][TINI_KV_TILE], const uint8_t *values,
                                     size_t group_bytes, uint32_t begin, uint32_t end, const uint32_t heads,
                                     uint32_t head_dim) {
    float32x4_t sum[TINI_NEON_HEADS][4];
    for (uint32_t h = 0; h < heads; h++)
        for (uint32_t k = 0; k < 4; k++)
            sum[h][k] = vmulq_n_f32(vld1q_f32(acc[h] + 4 * k), alpha[h]);
    TINI_NEON_ROLLED
    for (uint32_t p = begin; p < end; p++) {
        const uint8_t *at = values + p / TINI_TILE * group_bytes + (size_t)(p % TINI_TILE) * head_dim;
        int8x16_t q = vreinterpretq_s8_u8(vld1q_u8(at));
        int16x8_t low = vmovl_s8(vget_low_s8(q)), high = vmovl_high_s8(q);
        const float32x4_t v[4] = {
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_high_s16(low)),
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_high_s16(high))};
        for (uint32_t h = 0; h < heads; h++)
            for (uint32_t k = 0; k < 4; k++)
                sum[h][k] = vaddq_f32(sum[h][k], vmulq_n_f32(v[k], scaled[h][p]));
    }
    for (uint32_t h = 0; h < heads; h++)
        for (uint32_t k = 0; k < 4; k++)
            vst1q_f32(acc[h] + 4 * k, sum[h][k]);
}

TINI_INLINE void tini_neon_values_q8(tini_neon_state *s, const uint8_t *values, size_t group_bytes,
                                     uint32_t begin, uint32_t end, const uint32_t heads, uint32_t head_dim) {
    float scaled[TINI_NEON_HEADS][TINI_KV_TILE], *acc[TINI_NEON_HEADS];
    const size_t header = 2 * TINI_TILE * (head_dim / TINI_BLOCK);
    for (uint32_t e = 0; e < head_dim; e += TINI_BLOCK) {
        for (uint32_t p = begin & ~3u; p < end; p += 4) {
            const uint8_t *d =
                values + p / TINI_TILE * group_bytes + 2 * (e / TINI_BLOCK * TINI_TILE + p % TINI_TILE);
            for (uint32_t h = 0; h < heads; h++)
                vst1q_f32(scaled[h] + p, vmulq_f32(vld1q_f32(s->weights[h] + p), tini_neon_halves(d)));
        }
        for (uint32_t half = e; half < e + TINI_BLOCK; half += 16) {
            for (uint32_t h = 0; h < heads; h++)
                acc[h] = s->acc + h * head_dim + half;
            tini_neon_gather_q8(acc, s->alpha, (const float (*)[TINI_KV_TILE])scaled, values + header + half,
                                group_bytes, begin, end, heads, head_dim);
        }
    }
}

TINI_INLINE void tini_neon_heads_q8(const tini_kv *kv, const tini_attention *a, uint32_t row, uint32_t head,
                                    const uint32_t heads, tini_matmul_fn *matmul) {
    const uint32_t head_dim = kv->head_dim, blocks = head_dim / TINI_BLOCK;
    const uint32_t first = tini_attention_first(a, a->position + row),
                   last = tini_attention_last(a, a->position + row);
    const size_t bytes = tini_kv_place_bytes(TIN_KV_Q8, head_dim);
    tini_q8 query[TINI_NEON_OUTPUTS / TINI_BLOCK]; /* [head][block] */
    tini_neon_state s;
    for (uint32_t h = 0; h < heads; h++)
        tini_quantize_q8_neon(query + h * blocks, a->q + row * a->q_stride + (size_t)(head + h) * head_dim,
                              head_dim);
    tini_neon_start(&s, heads, head_dim);
    for (uint32_t base = first - first % TINI_KV_TILE; base <= last; base += TINI_KV_TILE) {
        uint32_t begin = first > base ? first - base : 0;
        uint32_t end = last + 1 - base < TINI_KV_TILE ? last + 1 - base : TINI_KV_TILE;
        size_t place = base % kv->capacity;
        tini_matmul m = {.weights = (const uint8_t *)kv->keys + place * bytes,
                         .x = query,
                         .out = s.weights[0],
                         .x_stride = blocks * sizeof query[0],
                         .out_stride = TINI_KV_TILE,
                         .rows = heads,
                         .inputs = blocks * TINI_BLOCK,
                         .outputs = TINI_KV_TILE};
        matmul(&m, begin / TINI_TILE, (end + TINI_TILE - 1) / TINI_TILE);
        for (uint32_t h = 0; h < heads; h++) {
            for (uint32_t p = begin & ~15u; p < end; p += 4)
                vst1q_f32(s.weights[h] + p, vmulq_n_f32(vld1q_f32(s.weights[h] + p), a->scale));
            tini_neon_weigh(&s, h, begin, end, a->cap);
        }
        tini_neon_values_q8(&s, (const uint8_t *)kv->values + place * bytes, TINI_TILE * bytes, begin, end,
                            heads, head_dim);
    }
    tini_neon_finish(&s, a->out + row * a->out_stride + (size_t)head * head_dim, heads, head_dim);
}

void tini_neon_attention_q8(const tini_kv *kv, const tini_attention *a, tini_matmul_fn *matmul) {
    for (uint32_t row = 0; row < a->rows; row++) {
        for (uint32_t head = 0, n; head < a->heads; head += n) {
            n = tini_neon_together(a->heads, head, kv->head_dim);
            switch (n) {
            case 4:
                tini_neon_heads_q8(kv, a, row, head, 4, matmul);
                break;
            case 3:
                tini_neon_heads_q8(kv, a, row, head, 3, matmul);
                break;
            case 2:
                tini_neon_heads_q8(kv, a, row, head, 2, matmul);
                break;
            default:
                tini_neon_heads_q8(kv, a, row, head, 1, matmul);
            }
        }
    }
}

void tini_attention_q8_neon(const tini_kv *kv, const tini_attention *a) {
    tini_neon_attention_q8(kv, a, tini_matmul_q8_0_neon);
}

TINI_REGION_END
#endif
