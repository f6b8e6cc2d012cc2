/* half_q8_0 by a set's matmul_q8_0, of a few tiles at a time that are made whole. */
#ifndef TINI_SCALAR_HALF_H
#define TINI_SCALAR_HALF_H

#include "tile.h"

void tini_half_as_whole(const tini_matmul *m, uint32_t tile, uint32_t tile_end, tini_matmul_fn *matmul);

/* A set's, where it has nothing better. */
#define TINI_HALF_Q8_0(set)                                                                   \
    void tini_half_q8_0_##set(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) { \
        tini_half_as_whole(m, tile_begin, tile_end, tini_matmul_q8_0_##set);                  \
    }

#endif
