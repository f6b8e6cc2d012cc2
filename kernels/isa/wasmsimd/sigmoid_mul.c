#include "../../core/region.h"
#if TIN_HAVE_WASMSIMD
#include "../../core/kernel.h"
#include "exp.h"

TINI_REGION_WASMSIMD

void tini_sigmoid_mul_wasmsimd(float *out, const float *gate, const float *up, uint32_t n) {
    const v128_t one = wasm_f32x4_const_splat(1.0f);
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        v128_t g = wasm_v128_load(gate + i);
        v128_t factor = wasm_f32x4_div(one, wasm_f32x4_add(one, tini_wasm_exp(wasm_f32x4_neg(g))));
        wasm_v128_store(out + i, wasm_f32x4_mul(factor, wasm_v128_load(up + i)));
    }
    tini_sigmoid_mul_scalar(out + i, gate + i, up + i, n - i);
}

TINI_REGION_END
#endif
