#include "../../core/base/region.h"
#if TIN_HAVE_AVXVNNI
#include "blocks.h"

TINI_REGION_AVXVNNI

void tini_matmul_q4_1_avxvnni(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_avxvnni_matmul(m, tile_begin, tile_end, TINI_FORMAT_Q4_1);
}

TINI_REGION_END
#endif
