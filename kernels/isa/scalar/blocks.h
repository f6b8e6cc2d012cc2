/* The loop that the matmuls of many-bit formats share; what a sub-block adds is each kernel's own. */
#ifndef TINI_SCALAR_BLOCKS_H
#define TINI_SCALAR_BLOCKS_H

#include "../../core/base/quants.h"
#include "tile.h"

TINI_REGION_SCALAR

/* y and what sub-block s of w, inputs 32s .. 32s + 31, adds to it with its activations x. */
typedef float tini_add_fn(float y, const tini_quants *w, uint32_t s, const tini_q8 *x);

/* The sum of (w[i] - offset) * q[i]: exact, as count * 128 * 128 is far below 2^31. */
TINI_INLINE int32_t tini_dot(const uint8_t *w, const int8_t *q, uint32_t count, int32_t offset) {
    int32_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += ((int32_t)w[i] - offset) * q[i];
    return sum;
}

/* The sum of (codes[w[i]] - offset) * q[i]. */
TINI_INLINE int32_t tini_dot_codes(const uint8_t *w, const uint8_t *codes, const int8_t *q, uint32_t count,
                                   int32_t offset) {
    int32_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += ((int32_t)codes[w[i]] - offset) * q[i];
    return sum;
}

TINI_INLINE int32_t tini_sum(const int8_t *q, uint32_t count) {
    int32_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += q[i];
    return sum;
}

/* Each output is its own sum over the sub-blocks in order; rows of x go four at a time, to decode weights less. */
TINI_INLINE void tini_scalar_matmul(const tini_matmul *m, uint32_t tile, uint32_t tile_end, const int format,
                                    tini_add_fn *add) {
    const tini_kind kind = tini_kind_of(format);
    const size_t block_bytes = TINI_TILE * tini_kind_bytes(&kind);
    const uint32_t blocks = m->inputs / kind.inputs, subs = kind.inputs / TINI_BLOCK;
    tile_end = tini_tile_limit(m, tile_end);
    for (; tile < tile_end; tile++) {
        for (uint32_t t = 0; t < m->rows; t += 4) {
            const uint8_t *w = m->weights + tile * blocks * block_bytes;
            uint32_t rows = m->rows - t < 4 ? m->rows - t : 4;
            float acc[4][TINI_TILE] = {{0}};
            for (uint32_t b = 0; b < blocks; b++, w += block_bytes) {
                for (uint32_t lane = 0; lane < TINI_TILE; lane++) {
                    tini_quants block;
                    tini_quants_from_tile(&block, w, lane, format);
                    for (uint32_t r = 0; r < rows; r++)
                        for (uint32_t s = 0; s < subs; s++)
                            acc[r][lane] = add(acc[r][lane], &block, s, tini_row_q8(m, t + r) + b * subs + s);
                }
            }
            for (uint32_t r = 0; r < rows; r++)
                tini_tile_store(m, tile, t + r, acc[r]);
        }
    }
}

TINI_REGION_END

#endif
