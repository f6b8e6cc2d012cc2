/* matmul_q8_0 of 64 inputs: a head's keys. */
#ifndef TINI_AVX512VNNI_TWO_BLOCKS_H
#define TINI_AVX512VNNI_TWO_BLOCKS_H

#include "../../core/base/kernel.h"

/* Of m's tiles [tile, tile_end), those that are whole; m has neither bias nor residual. Returns the first one left. */
uint32_t tini_avx512_two_blocks(const tini_matmul *m, uint32_t tile, uint32_t tile_end);

#endif
