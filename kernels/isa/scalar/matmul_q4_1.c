#include "tile.h"

TINI_REGION_REFERENCE

/* y = 0; for each block in order, with w in 0..15:
 *     y = y + (float)(sum of w * q) * (d * scale)
 *     y = y + minimum * (scale * (float)(sum of q))
 *
 * The integer sums are exact. d and minimum are the weights' float16 pair, scale the activations'. */
void tini_matmul_q4_1_scalar(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    const size_t block_bytes = 20 * TINI_TILE;
    uint32_t blocks = m->inputs / TINI_BLOCK;
    tile_end = tini_tile_limit(m, tile_end);
    for (uint32_t tile = tile_begin; tile < tile_end; tile++) {
        for (uint32_t t = 0; t < m->rows; t++) {
            const tini_q8 *x = tini_row_q8(m, t);
            const uint8_t *w = m->weights + tile * blocks * block_bytes;
            float acc[TINI_TILE] = {0};
            for (uint32_t b = 0; b < blocks; b++, w += block_bytes) {
                for (uint32_t lane = 0; lane < TINI_TILE; lane++) {
                    const uint8_t *pairs = w + 4 * TINI_TILE + 4 * lane;
                    int32_t sum = 0;
                    for (uint32_t i = 0; i < TINI_BLOCK / 2; i++) {
                        int32_t pair = pairs[i / 4 * 64 + i % 4];
                        sum += (pair & 15) * x[b].q[i] + (pair >> 4) * x[b].q[i + 16];
                    }
                    float d = tini_f16_to_f32(tini_load_u16(w + 2 * lane));
                    float minimum = tini_f16_to_f32(tini_load_u16(w + 2 * TINI_TILE + 2 * lane));
                    acc[lane] = acc[lane] + (float)sum * (d * x[b].scale);
                    acc[lane] = acc[lane] + minimum * (x[b].scale * (float)x[b].sum);
                }
            }
            tini_tile_store(m, tile, t, acc);
        }
    }
}

TINI_REGION_END
