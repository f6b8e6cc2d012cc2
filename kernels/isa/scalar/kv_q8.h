/* A place of a q8 cache. */
#ifndef TINI_SCALAR_KV_Q8_H
#define TINI_SCALAR_KV_Q8_H

#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

/* Where the next block of 32 elements lies: the scales of key and value, the key's q [8], 64 bytes apart, [4], and the
 * value's q [32]. */
typedef struct tini_kv_place {
    uint8_t *key, *value, *key_q, *value_q;
} tini_kv_place;

TINI_REGION_SCALAR

TINI_INLINE void tini_store_u16(uint8_t *p, uint16_t x) {
    p[0] = (uint8_t)x;
    p[1] = (uint8_t)(x >> 8);
}

TINI_INLINE tini_kv_place tini_kv_place_q8(const tini_kv *kv, uint32_t place) {
    size_t group_bytes = TINI_TILE * tini_kv_place_bytes(TIN_KV_Q8, kv->head_dim);
    uint8_t *keys = (uint8_t *)kv->keys + place / TINI_TILE * group_bytes;
    uint8_t *values = (uint8_t *)kv->values + place / TINI_TILE * group_bytes;
    uint32_t lane = place % TINI_TILE;
    return (tini_kv_place){
        .key = keys + 2 * lane,
        .value = values + 2 * lane,
        .key_q = keys + 2 * TINI_TILE + 4 * lane,
        .value_q = values + 2 * TINI_TILE * (kv->head_dim / TINI_BLOCK) + (size_t)lane * kv->head_dim,
    };
}

TINI_INLINE void tini_kv_next_q8(tini_kv_place *p) {
    p->key += TINI_TILE * (TINI_BLOCK + 2);
    p->key_q += TINI_TILE * (TINI_BLOCK + 2);
    p->value += 2 * TINI_TILE;
    p->value_q += TINI_BLOCK;
}

/* The scale of a block whose largest magnitude is amax, as float16, and 1 / it, or 0. */
TINI_INLINE float tini_kv_scale(float amax, uint16_t *half) {
    float d = amax / 127.0f;
    *half = tini_f32_to_f16(d < 65504.0f ? d : 65504.0f);
    d = tini_f16_to_f32(*half);
    return d > 0.0f ? 1.0f / d : 0.0f;
}

TINI_INLINE int32_t tini_kv_round(float y) {
    y = y > 127.0f ? 127.0f : y;
    return tini_nearest(y < -127.0f ? -127.0f : y);
}

TINI_REGION_END

#endif
