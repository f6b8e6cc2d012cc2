#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD
#include "../../core/base/kernel.h"

#include <wasm_simd128.h>

TINI_REGION_WASMSIMD

TINI_INLINE v128_t sum_four_wasmsimd(const v128_t part[8], int n) {
    return wasm_f32x4_add(wasm_f32x4_add(part[n], part[2 + n]), wasm_f32x4_add(part[4 + n], part[6 + n]));
}

/* Eight columns, half a tile, whose partial sums are eight registers: part[2 j + n] is the scalar's sum j. */
TINI_INLINE void delta_row_wasmsimd(const tini_delta *d, const float *from, float *to, uint32_t row,
                                    uint32_t column) {
    const float *q = d->q + row * d->qk_stride, *k = d->k + row * d->qk_stride;
    const float *v = d->v + row * d->v_stride + column;
    float *out = d->out + row * d->out_stride + column;
    const v128_t decay = wasm_f32x4_splat(d->decay[row]), beta = wasm_f32x4_splat(d->beta[row]);
    v128_t part[8], e[2];
    TINI_UNROLL
    for (int j = 0; j < 8; j++)
        part[j] = wasm_f32x4_const_splat(0.0f);
    for (uint32_t i = 0; !d->plain && i < d->inputs; i += 4) {
        TINI_UNROLL
        for (uint32_t j = 0; j < 8; j++) {
            v128_t s = wasm_v128_load(from + (i + j / 2) * TINI_TILE + 4 * (j % 2));
            part[j] = wasm_f32x4_add(part[j], wasm_f32x4_mul(s, wasm_f32x4_splat(k[i + j / 2])));
        }
    }
    TINI_UNROLL
    for (int n = 0; n < 2; n++) {
        v128_t m = wasm_f32x4_mul(sum_four_wasmsimd(part, n), decay);
        e[n] = wasm_f32x4_mul(wasm_f32x4_sub(wasm_v128_load(v + 4 * n), m), beta);
    }
    TINI_UNROLL
    for (int j = 0; j < 8; j++)
        part[j] = wasm_f32x4_const_splat(0.0f);
    for (uint32_t i = 0; i < d->inputs; i += 4) {
        TINI_UNROLL
        for (uint32_t j = 0; j < 8; j++) {
            size_t at = (size_t)(i + j / 2) * TINI_TILE + 4 * (j % 2);
            v128_t s = wasm_f32x4_mul(wasm_v128_load(from + at), decay);
            s = wasm_f32x4_add(s, wasm_f32x4_mul(wasm_f32x4_splat(k[i + j / 2]), e[j % 2]));
            wasm_v128_store(to + at, s);
            part[j] = wasm_f32x4_add(part[j], wasm_f32x4_mul(s, wasm_f32x4_splat(q[i + j / 2])));
        }
    }
    TINI_UNROLL
    for (int n = 0; n < 2; n++) {
        v128_t y = wasm_f32x4_mul(sum_four_wasmsimd(part, n), wasm_f32x4_splat(d->scale));
        if (d->plain)
            y = wasm_f32x4_add(y, wasm_f32x4_mul(wasm_v128_load(v + 4 * n), wasm_f32x4_splat(d->skip)));
        wasm_v128_store(out + 4 * n, y);
    }
}

/* Lanes are columns of the state, which have nothing to do with each other: the scalar's steps in its order. */
void tini_delta_wasmsimd(const tini_delta *d, uint32_t tile_begin, uint32_t tile_end) {
    for (uint32_t tile = tile_begin; tile < tile_end; tile++) {
        for (uint32_t half = 0; half < TINI_TILE; half += 8) {
            size_t at = (size_t)tile * d->inputs * TINI_TILE + half;
            for (uint32_t row = 0; row < d->rows; row++)
                delta_row_wasmsimd(d, (row ? d->to : d->from) + at, d->to + at, row, tile * TINI_TILE + half);
        }
    }
}

TINI_REGION_END
#endif
