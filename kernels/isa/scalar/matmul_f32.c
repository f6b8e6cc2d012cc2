#include "tile.h"

TINI_REGION_REFERENCE

/* y = 0; for each input in order: y = y + w * x, the weight widened exactly to float32. */
void tini_matmul_f32_scalar(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    const size_t input_bytes = 4 * TINI_TILE;
    tile_end = tini_tile_limit(m, tile_end);
    for (uint32_t tile = tile_begin; tile < tile_end; tile++) {
        for (uint32_t t = 0; t < m->rows; t++) {
            const float *x = tini_row_f32(m, t);
            const uint8_t *w = m->weights + tile * m->inputs * input_bytes;
            float acc[TINI_TILE] = {0};
            for (uint32_t i = 0; i < m->inputs; i++, w += input_bytes)
                for (uint32_t lane = 0; lane < TINI_TILE; lane++)
                    acc[lane] = acc[lane] + tini_load_f32(w + 4 * lane) * x[i];
            tini_tile_store(m, tile, t, acc);
        }
    }
}

TINI_REGION_END
