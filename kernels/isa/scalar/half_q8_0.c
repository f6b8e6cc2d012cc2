#include "half.h"

TINI_REGION_REFERENCE

/* What is left out may be anything, as zeros are multiplied by it; it is zero. */
void tini_half_as_whole(const tini_matmul *m, uint32_t tile, uint32_t tile_end, tini_matmul_fn *matmul) {
    enum { TILES = 4, BYTES = 34 * TINI_TILE };
    _Alignas(64) uint8_t whole[TILES * BYTES] = {0};
    tile_end = tini_tile_limit(m, tile_end);
    for (uint32_t tiles; tile < tile_end; tile += tiles) {
        const uint32_t first = tile * TINI_TILE;
        tiles = tile_end - tile < TILES ? tile_end - tile : TILES;
        for (uint32_t k = 0; k < tiles; k++)
            memcpy(whole + k * BYTES, m->weights + (size_t)(tile + k) * TINI_HALF_BYTES, TINI_HALF_BYTES);
        tini_matmul some = *m;
        some.weights = whole;
        some.out += first;
        some.bias = m->bias ? m->bias + first : NULL;
        some.residual = m->residual ? m->residual + first : NULL;
        some.outputs -= first;
        matmul(&some, 0, tiles);
    }
}

TINI_HALF_Q8_0(scalar)

TINI_REGION_END
