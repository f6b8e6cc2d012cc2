#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD
#include <wasm_simd128.h>

#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_WASMSIMD

/* The scalar's 16 partial sums are four registers; the last n % 16 elements go on from their lanes. */
void tini_rms_norm_wasmsimd(float *out, const float *x, const float *weight, uint32_t n, float eps) {
    v128_t sums[4];
    float lanes[16];
    uint32_t i = 0;
    for (uint32_t k = 0; k < 4; k++)
        sums[k] = wasm_f32x4_const_splat(0.0f);
    for (; i + 16 <= n; i += 16) {
        for (uint32_t k = 0; k < 4; k++) {
            v128_t v = wasm_v128_load(x + i + 4 * k);
            sums[k] = wasm_f32x4_add(sums[k], wasm_f32x4_mul(v, v));
        }
    }
    for (uint32_t k = 0; k < 4; k++)
        wasm_v128_store(lanes + 4 * k, sums[k]);
    for (; i < n; i++)
        lanes[i % 16] = lanes[i % 16] + x[i] * x[i];
    float s = 1.0f / tini_sqrt(tini_sum16(lanes) / (float)n + eps);
    const v128_t scale = wasm_f32x4_splat(s);
    for (i = 0; i + 4 <= n; i += 4) {
        v128_t scaled = wasm_f32x4_mul(wasm_v128_load(x + i), scale);
        wasm_v128_store(out + i, wasm_f32x4_mul(scaled, wasm_v128_load(weight + i)));
    }
    for (; i < n; i++)
        out[i] = (x[i] * s) * weight[i];
}

TINI_REGION_END
#endif
