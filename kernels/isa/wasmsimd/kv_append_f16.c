#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD
#include <wasm_simd128.h>

#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_WASMSIMD

/* Four floats as float16 bits in 32-bit lanes, rounded as tini_f32_to_f16 does. Adding 0.5, whose last digit is 2^-24,
 * rounds what becomes denormal. */
TINI_INLINE v128_t tini_wasm_to_half(const float *x) {
    const v128_t half = wasm_f32x4_const_splat(0.5f), infinity = wasm_i32x4_const_splat(0x7c00);
    v128_t bits = wasm_v128_load(x), magnitude = wasm_f32x4_abs(bits);
    v128_t sign = wasm_v128_and(wasm_u32x4_shr(bits, 16), wasm_i32x4_const_splat(0x8000));
    v128_t odd = wasm_v128_and(wasm_u32x4_shr(magnitude, 13), wasm_i32x4_const_splat(1));
    v128_t rounded = wasm_i32x4_add(magnitude, wasm_i32x4_const_splat(0xfff - (112 << 23)));
    rounded = wasm_i32x4_shr(wasm_i32x4_add(rounded, odd), 13);
    v128_t small = wasm_i32x4_sub(wasm_f32x4_add(magnitude, half), half);
    v128_t denormal = wasm_i32x4_lt(magnitude, wasm_i32x4_const_splat(113 << 23));
    v128_t value = wasm_v128_bitselect(small, wasm_i32x4_min(rounded, infinity), denormal);
    return wasm_v128_or(value, sign);
}

TINI_INLINE v128_t tini_wasm_to_halves(const float *x) {
    return wasm_u16x8_narrow_i32x4(tini_wasm_to_half(x), tini_wasm_to_half(x + 4));
}

void tini_kv_append_f16_wasmsimd(const tini_kv *kv, uint32_t position, const float *key, const float *value) {
    uint32_t place = position % kv->capacity, head_dim = kv->head_dim;
    uint16_t *keys =
        (uint16_t *)kv->keys + (size_t)(place / TINI_TILE) * head_dim * TINI_TILE + place % TINI_TILE;
    uint16_t *values = (uint16_t *)kv->values + (size_t)place * head_dim;
    for (uint32_t d = 0; d < head_dim; d += 8) {
        uint16_t halves[8];
        wasm_v128_store(halves, tini_wasm_to_halves(key + d));
        for (uint32_t k = 0; k < 8; k++)
            keys[(d + k) * TINI_TILE] = halves[k];
        wasm_v128_store(values + d, tini_wasm_to_halves(value + d));
    }
}

TINI_REGION_END
#endif
