/* Storing a matmul's outputs. */
#ifndef TINI_NEON_STORE_H
#define TINI_NEON_STORE_H

#include "rows.h"

TINI_REGION_NEON

/* As tini_tile_store, for the four outputs in each of lanes[count]: those of number k are outputs first + k * outputs ..,
 * of row t + k * rows. Touches no memory past the outputs. */
TINI_NEON_ONCE void tini_neon_store(const tini_matmul *m, uint32_t first, uint32_t outputs, uint32_t t,
                                    uint32_t rows, const float32x4_t *lanes, uint32_t count);

/* All 16 outputs of a tile, of row t. */
TINI_NEON_ONCE void tini_neon_store_tile(const tini_matmul *m, uint32_t tile, uint32_t t,
                                         const float32x4_t lanes[4]);

TINI_REGION_END

#endif
