#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD
#include "floats.h"

TINI_REGION_WASMSIMD

void tini_matmul_f32_wasmsimd(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_wasm_float_matmul(m, tile_begin, tile_end, TINI_FORMAT_F32);
}

TINI_REGION_END
#endif
