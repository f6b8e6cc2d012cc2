#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD
#include "../../core/base/kernel.h"
#include "../../core/base/rows.h"
#include "exp.h"
#include "rows.h"

/* Bits equal the scalar's: scores have one lane a position and sum over head_dim in order; the weights' 16 partial sums
 * are four registers; outputs have one lane an element and sum over positions in order. Up to four heads share each
 * key and value that is loaded and widened. Positions of a group of 16 that are not seen are given the score -infinity:
 * their weight is 0, which leaves a partial sum as it was; their values are not read. */

enum { TINI_WASM_HEADS = 4, TINI_WASM_OUTPUTS = 1024 };

typedef struct tini_wasm_state {
    float acc[TINI_WASM_OUTPUTS]; /* [head][head_dim] */
    float lanes[TINI_WASM_HEADS][16];
    float weights[TINI_WASM_HEADS][TINI_KV_TILE];
    float maximum[TINI_WASM_HEADS], alpha[TINI_WASM_HEADS];
} tini_wasm_state;

TINI_REGION_WASMSIMD

/* Scores of 8 positions, half a group of keys [head_dim][16]. q [heads][head_dim]. */
TINI_INLINE void tini_wasm_scores(tini_wasm_state *s, const uint16_t *keys, const float *q, uint32_t first,
                                  const uint32_t heads, uint32_t head_dim, float scale) {
    v128_t sum[TINI_WASM_HEADS][2];
    for (uint32_t h = 0; h < heads; h++)
        sum[h][0] = sum[h][1] = wasm_f32x4_const_splat(0.0f);
    for (uint32_t d = 0; d < head_dim; d++, keys += 16) {
        v128_t key[2];
        tini_wasm_halves(keys, key);
        for (uint32_t h = 0; h < heads; h++) {
            v128_t element = wasm_v128_load32_splat(q + h * head_dim + d);
            for (uint32_t k = 0; k < 2; k++)
                sum[h][k] = wasm_f32x4_add(sum[h][k], wasm_f32x4_mul(element, key[k]));
        }
    }
    for (uint32_t h = 0; h < heads; h++)
        for (uint32_t k = 0; k < 2; k++)
            wasm_v128_store(s->weights[h] + first + 4 * k, wasm_f32x4_mul(sum[h][k], wasm_f32x4_splat(scale)));
}

/* Turns head h's scores of a tile into weights. */
TINI_INLINE void tini_wasm_weigh(tini_wasm_state *s, uint32_t h, uint32_t begin, uint32_t end, float cap) {
    float *weights = s->weights[h];
    tini_cap_row(weights + begin, end - begin, cap);
    uint32_t from = begin & ~15u, to = (end + 15) & ~15u;
    for (uint32_t p = from; p < begin; p++)
        weights[p] = -TINI_INFINITY;
    for (uint32_t p = end; p < to; p++)
        weights[p] = -TINI_INFINITY;
    v128_t high = wasm_f32x4_splat(s->maximum[h]);
    for (uint32_t p = from; p < to; p += 4)
        high = wasm_f32x4_pmax(high, wasm_v128_load(weights + p));
    high = wasm_f32x4_pmax(high, wasm_i32x4_shuffle(high, high, 2, 3, 0, 1));
    high = wasm_f32x4_pmax(high, wasm_i32x4_shuffle(high, high, 1, 0, 3, 2));
    float highest = wasm_f32x4_extract_lane(high, 0);
    s->alpha[h] = tini_exp(s->maximum[h] - highest);
    s->maximum[h] = highest;
    const v128_t alpha = wasm_f32x4_splat(s->alpha[h]), maximum = wasm_f32x4_splat(highest);
    for (uint32_t quarter = 0; quarter < 16; quarter += 4) {
        v128_t lanes = wasm_f32x4_mul(wasm_v128_load(s->lanes[h] + quarter), alpha);
        for (uint32_t p = from + quarter; p < to; p += 16) {
            v128_t weight = tini_wasm_exp(wasm_f32x4_sub(wasm_v128_load(weights + p), maximum));
            wasm_v128_store(weights + p, weight);
            lanes = wasm_f32x4_add(lanes, weight);
        }
        wasm_v128_store(s->lanes[h] + quarter, lanes);
    }
}

/* Adds elements [first, first + 8) of the values of the tile's positions [begin, end). values [position][head_dim]. */
TINI_INLINE void tini_wasm_gather(tini_wasm_state *s, const uint16_t *values, uint32_t first, uint32_t begin,
                                  uint32_t end, const uint32_t heads, uint32_t head_dim) {
    v128_t acc[TINI_WASM_HEADS][2];
    for (uint32_t h = 0; h < heads; h++)
        for (uint32_t k = 0; k < 2; k++)
            acc[h][k] = wasm_f32x4_mul(wasm_v128_load(s->acc + h * head_dim + first + 4 * k),
                                       wasm_f32x4_splat(s->alpha[h]));
    values += first + (size_t)begin * head_dim;
    for (uint32_t p = begin; p < end; p++, values += head_dim) {
        v128_t value[2];
        tini_wasm_halves(values, value);
        for (uint32_t h = 0; h < heads; h++) {
            v128_t weight = wasm_v128_load32_splat(s->weights[h] + p);
            for (uint32_t k = 0; k < 2; k++)
                acc[h][k] = wasm_f32x4_add(acc[h][k], wasm_f32x4_mul(weight, value[k]));
        }
    }
    for (uint32_t h = 0; h < heads; h++)
        for (uint32_t k = 0; k < 2; k++)
            wasm_v128_store(s->acc + h * head_dim + first + 4 * k, acc[h][k]);
}

TINI_INLINE void tini_wasm_attend(const tini_kv *kv, const tini_attention *a, uint32_t row, uint32_t head,
                                  const uint32_t heads) {
    const uint32_t head_dim = kv->head_dim, first = tini_attention_first(a, a->position + row);
    const uint32_t last = tini_attention_last(a, a->position + row);
    const float *q = a->q + row * a->q_stride + (size_t)head * head_dim;
    float *out = a->out + row * a->out_stride + (size_t)head * head_dim;
    tini_wasm_state s;
    memset(s.acc, 0, (size_t)heads * head_dim * sizeof(float));
    for (uint32_t h = 0; h < heads; h++) {
        memset(s.lanes[h], 0, sizeof s.lanes[h]);
        s.maximum[h] = -TINI_INFINITY;
    }
    for (uint32_t base = first - first % TINI_KV_TILE; base <= last; base += TINI_KV_TILE) {
        uint32_t begin = first > base ? first - base : 0;
        uint32_t end = last + 1 - base < TINI_KV_TILE ? last + 1 - base : TINI_KV_TILE;
        size_t place = base % kv->capacity;
        const uint16_t *keys = (const uint16_t *)kv->keys + place * head_dim,
                       *values = (const uint16_t *)kv->values + place * head_dim;
        for (uint32_t p = begin & ~7u; p < end; p += 8)
            tini_wasm_scores(&s, keys + (size_t)(p & ~15u) * head_dim + p % 16, q, p, heads, head_dim,
                             a->scale);
        for (uint32_t h = 0; h < heads; h++)
            tini_wasm_weigh(&s, h, begin, end, a->cap);
        for (uint32_t d = 0; d < head_dim; d += 8)
            tini_wasm_gather(&s, values, d, begin, end, heads, head_dim);
    }
    for (uint32_t h = 0; h < heads; h++) {
        float inverse = 1.0f / tini_sum16(s.lanes[h]);
        for (uint32_t d = 0; d < head_dim; d++)
            out[h * head_dim + d] = s.acc[h * head_dim + d] * inverse;
    }
}

/* How many of the heads from `head` on are taken together: four, or what is left, as far as their accumulators fit. */
static uint32_t tini_wasm_together(uint32_t heads, uint32_t head, uint32_t head_dim) {
    uint32_t left = heads - head, most = head_dim * TINI_WASM_HEADS <= TINI_WASM_OUTPUTS ? TINI_WASM_HEADS : 2;
    return left < most ? left : most;
}

void tini_attention_f16_wasmsimd(const tini_kv *kv, const tini_attention *a) {
    for (uint32_t row = 0; row < a->rows; row++) {
        for (uint32_t head = 0, n; head < a->heads; head += n) {
            n = tini_wasm_together(a->heads, head, kv->head_dim);
            switch (n) {
            case 4:
                tini_wasm_attend(kv, a, row, head, 4);
                break;
            case 3:
                tini_wasm_attend(kv, a, row, head, 3);
                break;
            case 2:
                tini_wasm_attend(kv, a, row, head, 2);
                break;
            default:
                tini_wasm_attend(kv, a, row, head, 1);
            }
        }
    }
}

TINI_REGION_END
#endif
