#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD
#include <wasm_simd128.h>

#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_WASMSIMD

static float tini_wasm_highest(v128_t x) {
    x = wasm_f32x4_pmax(x, wasm_i32x4_shuffle(x, x, 2, 3, 0, 1));
    x = wasm_f32x4_pmax(x, wasm_i32x4_shuffle(x, x, 1, 0, 3, 2));
    return wasm_f32x4_extract_lane(x, 0);
}

static int32_t tini_wasm_total(v128_t x) {
    x = wasm_i32x4_add(x, wasm_i32x4_shuffle(x, x, 2, 3, 0, 1));
    return wasm_i32x4_extract_lane(x, 0) + wasm_i32x4_extract_lane(x, 1);
}

/* Rounds as tini_nearest does; no |q| exceeds 127, so narrowing does not clip. */
void tini_quantize_q8_wasmsimd(tini_q8 *out, const float *x, uint32_t n) {
    const v128_t rounder = wasm_f32x4_const_splat(TINI_ROUND_F32);
    for (uint32_t b = 0; b < n / TINI_BLOCK; b++, x += TINI_BLOCK) {
        v128_t v[8], high = wasm_f32x4_const_splat(0.0f);
        for (uint32_t k = 0; k < 8; k++) {
            v[k] = wasm_v128_load(x + 4 * k);
            high = wasm_f32x4_pmax(high, wasm_f32x4_abs(v[k]));
        }
        float amax = tini_wasm_highest(high);
        if (!(amax >= 1e-30f)) {
            out[b] = (tini_q8){.scale = 0.0f};
            continue;
        }
        const v128_t inverse = wasm_f32x4_splat(127.0f / amax);
        v128_t sum = wasm_i32x4_const_splat(0);
        for (uint32_t k = 0; k < 8; k++) {
            v[k] = wasm_i32x4_sub(wasm_f32x4_add(wasm_f32x4_mul(v[k], inverse), rounder), rounder);
            sum = wasm_i32x4_add(sum, v[k]);
        }
        out[b].scale = amax / 127.0f;
        out[b].sum = tini_wasm_total(sum);
        for (uint32_t k = 0; k < 2; k++) {
            v128_t low = wasm_i16x8_narrow_i32x4(v[4 * k], v[4 * k + 1]);
            v128_t top = wasm_i16x8_narrow_i32x4(v[4 * k + 2], v[4 * k + 3]);
            wasm_v128_store(out[b].q + 16 * k, wasm_i8x16_narrow_i16x8(low, top));
        }
    }
}

TINI_REGION_END
#endif
