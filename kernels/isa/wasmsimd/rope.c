#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD
#include <wasm_simd128.h>

#include "../../core/base/kernel.h"

TINI_REGION_WASMSIMD

void tini_rope_wasmsimd(float *x, const float *table, uint32_t heads, uint32_t head_dim, uint32_t half) {
    for (uint32_t head = 0; head < heads; head++, x += head_dim) {
        uint32_t i = 0;
        for (; i + 4 <= half; i += 4) {
            v128_t a = wasm_v128_load(x + i), b = wasm_v128_load(x + i + half);
            v128_t cosine = wasm_v128_load(table + i), sine = wasm_v128_load(table + half + i);
            v128_t first = wasm_f32x4_sub(wasm_f32x4_mul(a, cosine), wasm_f32x4_mul(b, sine));
            v128_t second = wasm_f32x4_add(wasm_f32x4_mul(b, cosine), wasm_f32x4_mul(a, sine));
            wasm_v128_store(x + i, first);
            wasm_v128_store(x + i + half, second);
        }
        for (; i < half; i++) {
            float a = x[i], b = x[i + half], cosine = table[i], sine = table[half + i];
            x[i] = a * cosine - b * sine;
            x[i + half] = b * cosine + a * sine;
        }
    }
}

TINI_REGION_END
#endif
