#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_REFERENCE

/* Each element by tini_f32_to_f16. */
void tini_kv_append_f16_scalar(const tini_kv *kv, uint32_t position, const float *key, const float *value) {
    uint32_t place = position % kv->capacity, head_dim = kv->head_dim;
    uint16_t *keys =
        (uint16_t *)kv->keys + (size_t)(place / TINI_TILE) * head_dim * TINI_TILE + place % TINI_TILE;
    uint16_t *values = (uint16_t *)kv->values + (size_t)place * head_dim;
    for (uint32_t d = 0; d < head_dim; d++) {
        keys[d * TINI_TILE] = tini_f32_to_f16(key[d]);
        values[d] = tini_f32_to_f16(value[d]);
    }
}

TINI_REGION_END
