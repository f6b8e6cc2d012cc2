#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include "floats.h"

TINI_REGION_AVX2

void tini_matmul_f32_avx2(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_avx2_float_matmul(m, tile_begin, tile_end, TINI_FORMAT_F32);
}

TINI_REGION_END
#endif
