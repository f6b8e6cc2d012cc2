/* What the gates share on WebAssembly: the scalar's operations in its order, four values at a time. */
#ifndef TINI_WASMSIMD_GATE_H
#define TINI_WASMSIMD_GATE_H

#include "../../core/base/kernel.h"
#include "exp.h"

TINI_REGION_WASMSIMD

/* Whole registers; returns how many values those are. act: TINI_ACT_*, a constant. */
TINI_INLINE uint32_t tini_wasm_gate(float *out, const float *gate, const float *up, uint32_t n, const int act) {
    const v128_t one = wasm_f32x4_const_splat(1.0f);
    const v128_t a = wasm_f32x4_const_splat(TINI_GELU_A), b = wasm_f32x4_const_splat(TINI_GELU_B);
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        v128_t g = wasm_v128_load(gate + i), x = g;
        if (act == TINI_ACT_GELU)
            x = wasm_f32x4_mul(g, wasm_f32x4_add(a, wasm_f32x4_mul(b, wasm_f32x4_mul(g, g))));
        v128_t factor = act == TINI_ACT_GELU_ERF
                            ? wasm_f32x4_mul(g, (v128_t)tini_wasm_normal((tini_wasm_floats4)g))
                            : wasm_f32x4_div(act == TINI_ACT_SIGMOID ? one : g,
                                             wasm_f32x4_add(one, tini_wasm_exp(wasm_f32x4_neg(x))));
        wasm_v128_store(out + i, wasm_f32x4_mul(factor, wasm_v128_load(up + i)));
    }
    return i;
}

TINI_REGION_END

#endif
