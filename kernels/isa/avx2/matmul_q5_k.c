#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include "blocks.h"

TINI_REGION_AVX2

void tini_matmul_q5_k_avx2(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_avx2_matmul(m, tile_begin, tile_end, TINI_FORMAT_Q5_K);
}

TINI_REGION_END
#endif
