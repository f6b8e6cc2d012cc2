#include "../../core/region.h"
#if TIN_HAVE_WASMSIMD
#include "../../core/kernel.h"
#include "exp.h"

TINI_REGION_WASMSIMD

void tini_gelu_mul_wasmsimd(float *out, const float *gate, const float *up, uint32_t n) {
    const v128_t one = wasm_f32x4_const_splat(1.0f);
    const v128_t a = wasm_f32x4_const_splat(TINI_GELU_A), b = wasm_f32x4_const_splat(TINI_GELU_B);
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        v128_t g = wasm_v128_load(gate + i);
        v128_t x = wasm_f32x4_mul(g, wasm_f32x4_add(a, wasm_f32x4_mul(b, wasm_f32x4_mul(g, g))));
        v128_t gelu = wasm_f32x4_div(g, wasm_f32x4_add(one, tini_wasm_exp(wasm_f32x4_neg(x))));
        wasm_v128_store(out + i, wasm_f32x4_mul(gelu, wasm_v128_load(up + i)));
    }
    tini_gelu_mul_scalar(out + i, gate + i, up + i, n - i);
}

TINI_REGION_END
#endif
