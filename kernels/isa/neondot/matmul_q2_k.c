#include "../../core/base/region.h"
#if TIN_HAVE_NEONDOT
#include "blocks.h"

TINI_REGION_NEONDOT

void tini_matmul_q2_k_neondot(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_neondot_matmul(m, tile_begin, tile_end, TINI_FORMAT_Q2_K);
}

TINI_REGION_END
#endif
