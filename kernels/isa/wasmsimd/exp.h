/* tini_exp on four lanes: the same operations in the same order. */
#ifndef TINI_WASMSIMD_EXP_H
#define TINI_WASMSIMD_EXP_H

#include <wasm_simd128.h>

#include "../../core/base/math.h"

TINI_REGION_WASMSIMD

TINI_INLINE v128_t tini_wasm_step(v128_t p, v128_t r, float coefficient) {
    return wasm_f32x4_add(wasm_f32x4_mul(p, r), wasm_f32x4_splat(coefficient));
}

TINI_INLINE v128_t tini_wasm_exp(v128_t x) {
    const v128_t rounder = wasm_f32x4_const_splat(TINI_ROUND_F32);
    v128_t rounded = wasm_f32x4_add(wasm_f32x4_mul(x, wasm_f32x4_const_splat(TINI_EXP_LOG2E)), rounder);
    v128_t whole = wasm_i32x4_sub(rounded, rounder), n = wasm_f32x4_sub(rounded, rounder);
    v128_t r = wasm_f32x4_sub(x, wasm_f32x4_mul(n, wasm_f32x4_const_splat(TINI_EXP_LN2_HIGH)));
    r = wasm_f32x4_sub(r, wasm_f32x4_mul(n, wasm_f32x4_const_splat(TINI_EXP_LN2_LOW)));
    v128_t p = tini_wasm_step(wasm_f32x4_const_splat(TINI_EXP_P4), r, TINI_EXP_P3);
    p = tini_wasm_step(p, r, TINI_EXP_P2);
    p = tini_wasm_step(p, r, TINI_EXP_P1);
    p = tini_wasm_step(p, r, TINI_EXP_P0);
    v128_t y = wasm_f32x4_add(wasm_f32x4_mul(p, wasm_f32x4_mul(r, r)), r);
    y = wasm_f32x4_add(y, wasm_f32x4_const_splat(1.0f));
    v128_t power = wasm_i32x4_shl(wasm_i32x4_add(whole, wasm_i32x4_const_splat(127)), 23);
    y = wasm_f32x4_mul(y, power);
    v128_t above = wasm_f32x4_gt(x, wasm_f32x4_const_splat(TINI_EXP_HIGHEST));
    v128_t below = wasm_f32x4_lt(x, wasm_f32x4_const_splat(TINI_EXP_LOWEST));
    y = wasm_v128_bitselect(wasm_f32x4_const_splat(TINI_INFINITY), y, above);
    return wasm_v128_andnot(y, below);
}

typedef float tini_wasm_floats4 __attribute__((vector_size(16)));

#define TINI_LANES tini_wasm_floats4
#define TINI_LANES_NORMAL tini_wasm_normal
#define TINI_LANES_EXP(x) ((TINI_LANES)tini_wasm_exp((v128_t)(x)))
#include "../../core/base/normal_lanes.h"

TINI_REGION_END

#endif
