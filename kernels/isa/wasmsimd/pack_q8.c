#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD
#include "exp.h"
#include "../scalar/kv_q8.h"

TINI_REGION_WASMSIMD

#define TINI_LANES tini_wasm_floats4
#define TINI_LANES_PACK tini_wasm_pack
#define TINI_LANES_MAX(x, y) ((TINI_LANES)wasm_f32x4_pmax((v128_t)(x), (v128_t)(y)))
#define TINI_LANES_MIN(x, y) ((TINI_LANES)wasm_f32x4_pmin((v128_t)(x), (v128_t)(y)))
#include "../../core/base/pack_lanes.h"

void tini_pack_q8_wasmsimd(uint8_t *block, const float *x, size_t stride) {
    tini_wasm_pack(block, x, stride);
}

TINI_REGION_END
#endif
