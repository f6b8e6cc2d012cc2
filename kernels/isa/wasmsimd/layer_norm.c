#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD
#include <wasm_simd128.h>

#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_WASMSIMD

/* The scalar's 16 partial sums are four registers; the last n % 16 elements go on from their lanes. */
TINI_INLINE float tini_wasm_sum(const float *x, uint32_t n, float mean, const int squares) {
    const v128_t m = wasm_f32x4_splat(mean);
    v128_t sums[4];
    float lanes[16];
    uint32_t i = 0;
    for (uint32_t k = 0; k < 4; k++)
        sums[k] = wasm_f32x4_splat(0.0f);
    for (; i + 16 <= n; i += 16) {
        for (uint32_t k = 0; k < 4; k++) {
            v128_t v = wasm_v128_load(x + i + 4 * k);
            if (squares) {
                v = wasm_f32x4_sub(v, m);
                v = wasm_f32x4_mul(v, v);
            }
            sums[k] = wasm_f32x4_add(sums[k], v);
        }
    }
    for (uint32_t k = 0; k < 4; k++)
        wasm_v128_store(lanes + 4 * k, sums[k]);
    for (; i < n; i++) {
        float d = squares ? x[i] - mean : x[i];
        lanes[i % 16] = lanes[i % 16] + (squares ? d * d : d);
    }
    return tini_sum16(lanes);
}

void tini_layer_norm_wasmsimd(float *out, const float *x, const float *weight, const float *bias, uint32_t n,
                              float eps) {
    float mean = tini_wasm_sum(x, n, 0.0f, 0) / (float)n;
    float s = 1.0f / tini_sqrt(tini_wasm_sum(x, n, mean, 1) / (float)n + eps);
    const v128_t scale = wasm_f32x4_splat(s), m = wasm_f32x4_splat(mean);
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        v128_t y = wasm_f32x4_mul(wasm_f32x4_sub(wasm_v128_load(x + i), m), scale);
        y = wasm_f32x4_mul(y, wasm_v128_load(weight + i));
        wasm_v128_store(out + i, wasm_f32x4_add(y, wasm_v128_load(bias + i)));
    }
    for (; i < n; i++)
        out[i] = ((x[i] - mean) * s) * weight[i] + bias[i];
}

TINI_REGION_END
#endif
