#include "kv_q8.h"

TINI_REGION_REFERENCE

/* Per row: amax = max |x|, of which kv_append_q8's scale d is made, and q of that as there; stored XOR 0x80. */
void tini_pack_q8_scalar(uint8_t *block, const float *x, size_t stride) {
    for (uint32_t lane = 0; lane < TINI_TILE; lane++) {
        float amax = 0.0f;
        for (uint32_t i = 0; i < TINI_BLOCK; i++)
            amax = tini_abs(x[i * stride + lane]) > amax ? tini_abs(x[i * stride + lane]) : amax;
        uint16_t half;
        float inverse = tini_kv_scale(amax, &half);
        tini_store_u16(block + 2 * lane, half);
        uint8_t *q = block + 2 * TINI_TILE + 4 * lane;
        for (uint32_t i = 0; i < TINI_BLOCK; i++)
            q[i / 4 * 64 + i % 4] = (uint8_t)(tini_kv_round(x[i * stride + lane] * inverse) ^ 0x80);
    }
}

TINI_REGION_END
