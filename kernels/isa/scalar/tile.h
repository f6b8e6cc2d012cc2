/* What the matmul kernels share. */
#ifndef TINI_SCALAR_TILE_H
#define TINI_SCALAR_TILE_H

#include "../../core/base/formats.h"
#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_SCALAR

/* Row t of x: inputs / 32 blocks. */
TINI_INLINE const tini_q8 *tini_row_q8(const tini_matmul *m, uint32_t t) {
    return (const tini_q8 *)(const void *)((const uint8_t *)m->x + t * m->x_stride);
}

/* Row t of x: `inputs` floats. */
TINI_INLINE const float *tini_row_f32(const tini_matmul *m, uint32_t t) {
    return (const float *)(const void *)((const uint8_t *)m->x + t * m->x_stride);
}

/* out[t][o] = (acc[lane] + bias[o]) + residual[t][o], each term only where given, for the outputs that the tile
 * has. */
TINI_INLINE void tini_tile_store(const tini_matmul *m, uint32_t tile, uint32_t t, const float acc[TINI_TILE]) {
    uint32_t first = tile * TINI_TILE;
    uint32_t count = m->outputs - first < TINI_TILE ? m->outputs - first : TINI_TILE;
    for (uint32_t lane = 0; lane < count; lane++) {
        float y = acc[lane];
        if (m->bias)
            y = y + m->bias[first + lane];
        if (m->residual)
            y = y + m->residual[t * m->residual_stride + first + lane];
        m->out[t * m->out_stride + first + lane] = y;
    }
}

/* Tiles that hold outputs, of those asked for. */
TINI_INLINE uint32_t tini_tile_limit(const tini_matmul *m, uint32_t tile_end) {
    uint32_t tiles = (m->outputs + TINI_TILE - 1) / TINI_TILE;
    return tile_end < tiles ? tile_end : tiles;
}

TINI_REGION_END

/* A set's matmul of a format, from what its blocks.h and floats.h make of all: TIN_FORMATS(TINI_MATMUL, set, function) where the
 * functions' names end in _f32 and _q8, by the activations. */
#define TINI_MATMUL(set, function, id, gguf, NAME, name, block, bytes, activations, ...)            \
    void tini_matmul_##name##_##set(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) { \
        function##_##activations(m, tile_begin, tile_end, TINI_FORMAT_##NAME);                      \
    }
/* Of those that read q8, and of those but for formats of words. */
#define TINI_Q8_MATMUL(set, function, id, gguf, NAME, name, block, bytes, activations, ...) \
    TINI_ONLY_##activations(TINI_MATMUL(set, function, id, gguf, NAME, name, block, bytes, activations, ))
#define TINI_PLANES_MATMUL(set, function, id, gguf, NAME, name, ...) \
    TINI_UNLESS(TINI_OF_WORDS_##name)(TINI_Q8_MATMUL(set, function, id, gguf, NAME, name, __VA_ARGS__))

#endif
