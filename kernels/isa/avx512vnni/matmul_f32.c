#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "floats.h"

TINI_REGION_AVX512VNNI

void tini_matmul_f32_avx512vnni(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_avx512_float_matmul(m, tile_begin, tile_end, TINI_FORMAT_F32);
}

TINI_REGION_END
#endif
