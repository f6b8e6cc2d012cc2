#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD
#include "../../core/base/kernel.h"
#include "exp.h"

TINI_REGION_WASMSIMD

/* No q exceeds 127, so narrowing does not clip. */
TINI_INLINE void tini_wasm_narrow(int8_t *to, const v128_t q[8]) {
    for (uint32_t k = 0; k < 8; k += 4) {
        v128_t low = wasm_i16x8_narrow_i32x4(q[k], q[k + 1]),
               high = wasm_i16x8_narrow_i32x4(q[k + 2], q[k + 3]);
        wasm_v128_store(to + 4 * k, wasm_i8x16_narrow_i16x8(low, high));
    }
}

#define TINI_LANES tini_wasm_floats4
#define TINI_LANES_SOFTMAX tini_wasm_softmax
#define TINI_LANES_EXP(x) ((TINI_LANES)tini_wasm_exp((v128_t)(x)))
#define TINI_LANES_MAX(x, y) ((TINI_LANES)wasm_f32x4_pmax((v128_t)(x), (v128_t)(y)))
#define TINI_LANES_NARROW(to, q) tini_wasm_narrow(to, (const v128_t *)(q))
#include "../../core/base/softmax_lanes.h"

void tini_softmax_q8_wasmsimd(const tini_softmax *s) {
    tini_wasm_softmax(s);
}

TINI_REGION_END
#endif
