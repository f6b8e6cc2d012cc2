#include "kv_q8.h"

TINI_REGION_REFERENCE

/* Per block of 32: amax = max |x|; d = amax / 127, at most 65504, rounded to float16; q = round(x * (1 / d)), ties to even, where
 * the product is kept within [-127, 127]; all q are 0 where d is. */
static uint16_t tini_kv_quantize(int8_t q[TINI_BLOCK], const float *x) {
    float amax = 0.0f;
    for (uint32_t i = 0; i < TINI_BLOCK; i++)
        amax = tini_abs(x[i]) > amax ? tini_abs(x[i]) : amax;
    uint16_t half;
    float inverse = tini_kv_scale(amax, &half);
    for (uint32_t i = 0; i < TINI_BLOCK; i++)
        q[i] = (int8_t)tini_kv_round(x[i] * inverse);
    return half;
}

void tini_kv_append_q8_scalar(const tini_kv *kv, uint32_t position, const float *key, const float *value) {
    tini_kv_place to = tini_kv_place_q8(kv, position % kv->capacity);
    int8_t q[TINI_BLOCK];
    for (uint32_t d = 0; d < kv->head_dim; d += TINI_BLOCK) {
        tini_store_u16(to.key, tini_kv_quantize(q, key + d));
        for (uint32_t i = 0; i < TINI_BLOCK; i++)
            to.key_q[i / 4 * 64 + i % 4] = (uint8_t)(q[i] ^ 0x80);
        tini_store_u16(to.value, tini_kv_quantize(q, value + d));
        memcpy(to.value_q, q, TINI_BLOCK);
        tini_kv_next_q8(&to);
    }
}

TINI_REGION_END
