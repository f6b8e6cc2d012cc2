#include "../../core/base/region.h"
#if TIN_HAVE_NEONI8MM
#include "blocks.h"

TINI_REGION_NEONI8MM

void tini_matmul_q5_1_neoni8mm(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_neoni8mm_matmul(m, tile_begin, tile_end, TINI_FORMAT_Q5_1);
}

TINI_REGION_END
#endif
