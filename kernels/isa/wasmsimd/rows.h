/* The WebAssembly SIMD vocabulary: half precision, and storing a matmul's outputs. Relaxed SIMD is not used: its results
 * may differ by host. */
#ifndef TINI_WASMSIMD_ROWS_H
#define TINI_WASMSIMD_ROWS_H

#include <wasm_simd128.h>

#include "../../core/base/kernel.h"
#include "../scalar/tile.h"

TINI_REGION_WASMSIMD

/* Four float16 values of any kind, sign-extended to 32 bits, widened exactly. A denormal is its digits put behind the
 * leading 1 of 2^-14, less 2^-14. */
static inline __attribute__((noinline)) v128_t tini_wasm_any_halves(v128_t h) {
    const v128_t rebias = wasm_i32x4_const_splat(112 << 23), least = wasm_i32x4_const_splat(113 << 23);
    v128_t magnitude = wasm_i32x4_shl(wasm_v128_and(h, wasm_i32x4_const_splat(0x7fff)), 13);
    v128_t infinite = wasm_i32x4_ge(magnitude, wasm_i32x4_const_splat(31 << 23));
    v128_t denormal = wasm_i32x4_lt(magnitude, wasm_i32x4_const_splat(1 << 23));
    v128_t normal = wasm_i32x4_add(magnitude, rebias);
    normal = wasm_i32x4_add(normal, wasm_v128_and(infinite, rebias));
    v128_t small = wasm_f32x4_sub(wasm_i32x4_add(magnitude, least), least);
    v128_t sign = wasm_v128_and(h, wasm_i32x4_const_splat(INT32_MIN));
    return wasm_v128_or(wasm_v128_bitselect(small, normal, denormal), sign);
}

/* Eight float16 values, widened exactly. Few vectors hold a zero, a denormal or an infinity; the others only need
 * another exponent bias. */
TINI_INLINE void tini_wasm_halves(const void *p, v128_t out[2]) {
    v128_t h = wasm_v128_load(p), low = wasm_i32x4_extend_low_i16x8(h), high = wasm_i32x4_extend_high_i16x8(h);
    /* The exponent plus one, of five bits, is 0 or 1 in just those. */
    v128_t next = wasm_i16x8_add(h, wasm_i16x8_const_splat(0x0400));
    if (wasm_i16x8_all_true(wasm_v128_and(next, wasm_i16x8_const_splat(0x7800)))) {
        const v128_t kept = wasm_i32x4_const_splat((int32_t)0x8fffffff),
                     rebias = wasm_i32x4_const_splat(112 << 23);
        out[0] = wasm_i32x4_add(wasm_v128_and(wasm_i32x4_shl(low, 13), kept), rebias);
        out[1] = wasm_i32x4_add(wasm_v128_and(wasm_i32x4_shl(high, 13), kept), rebias);
    } else {
        out[0] = tini_wasm_any_halves(low);
        out[1] = tini_wasm_any_halves(high);
    }
}

/* As tini_tile_store, for the 16 outputs of a tile, lane by lane in y. */
TINI_INLINE void tini_wasm_store(const tini_matmul *m, uint32_t tile, uint32_t t, const v128_t y[4]) {
    uint32_t first = tile * TINI_TILE;
    if (m->outputs - first < TINI_TILE) {
        float lanes[TINI_TILE];
        for (uint32_t k = 0; k < 4; k++)
            wasm_v128_store(lanes + 4 * k, y[k]);
        tini_tile_store(m, tile, t, lanes);
        return;
    }
    for (uint32_t k = 0; k < 4; k++, first += 4) {
        v128_t sum = y[k];
        if (m->bias)
            sum = wasm_f32x4_add(sum, wasm_v128_load(m->bias + first));
        if (m->residual)
            sum = wasm_f32x4_add(sum, wasm_v128_load(m->residual + t * m->residual_stride + first));
        wasm_v128_store(m->out + t * m->out_stride + first, sum);
    }
}

TINI_REGION_END

#endif
