/* Matmul with float activations on WebAssembly SIMD: a register holds one input of four rows, a quarter of a tile.
 *
 * Bits equal the scalar's: a lane is a row, and each input is one multiply and one add, in order. Weights widen
 * exactly. */
#ifndef TINI_WASMSIMD_FLOATS_H
#define TINI_WASMSIMD_FLOATS_H

#include "../../core/base/formats.h"
#include "rows.h"

TINI_REGION_WASMSIMD

/* Eight weights. */
TINI_INLINE void tini_wasm_weights(const uint8_t *p, v128_t out[2], const int format) {
    if (format == TINI_FORMAT_F32) {
        out[0] = wasm_v128_load(p);
        out[1] = wasm_v128_load(p + 16);
    } else if (format == TINI_FORMAT_F16) {
        tini_wasm_halves(p, out);
    } else {
        out[0] = wasm_i32x4_shl(wasm_u32x4_load16x4(p), 16);
        out[1] = wasm_i32x4_shl(wasm_u32x4_load16x4(p + 8), 16);
    }
}

/* `halves` half tiles from `unit` on by `columns` rows of x: enough chains of additions to hide one's latency. */
TINI_INLINE void tini_wasm_float_patch(const tini_matmul *m, uint32_t unit, uint32_t t, const uint32_t halves,
                                       const uint32_t columns, const int format, v128_t *acc) {
    const size_t half_bytes = TINI_TILE / 2 * (format == TINI_FORMAT_F32 ? 4 : 2);
    const uint8_t *w = m->weights + unit / 2 * m->inputs * 2 * half_bytes + unit % 2 * half_bytes;
    const float *x[4];
    v128_t sums[16];
    for (uint32_t k = 0; k < 2 * halves * columns; k++)
        sums[k] = wasm_f32x4_const_splat(0.0f);
    for (uint32_t c = 0; c < columns; c++)
        x[c] = tini_row_f32(m, t + c);
    for (uint32_t i = 0; i < m->inputs; i++, w += 2 * half_bytes) {
        for (uint32_t h = 0; h < halves; h++) {
            v128_t weights[2];
            tini_wasm_weights(w + h * half_bytes, weights, format);
            for (uint32_t c = 0; c < columns; c++) {
                const v128_t input = wasm_v128_load32_splat(x[c] + i);
                for (uint32_t k = 0; k < 2; k++) {
                    v128_t *sum = sums + (c * halves + h) * 2 + k;
                    *sum = wasm_f32x4_add(*sum, wasm_f32x4_mul(weights[k], input));
                }
            }
        }
    }
    for (uint32_t c = 0; c < columns; c++)
        for (uint32_t k = 0; k < 2 * halves; k++)
            acc[4 * c + unit % 2 * 2 + k] = sums[c * 2 * halves + k];
}

TINI_INLINE void tini_wasm_matmul_f32(const tini_matmul *m, uint32_t tile, uint32_t tile_end,
                                      const int format) {
    tile_end = tini_tile_limit(m, tile_end);
    for (; tile < tile_end; tile++) {
        v128_t acc[16];
        uint32_t t = 0;
        for (; t + 4 <= m->rows; t += 4) {
            tini_wasm_float_patch(m, 2 * tile, t, 1, 4, format, acc);
            tini_wasm_float_patch(m, 2 * tile + 1, t, 1, 4, format, acc);
            for (uint32_t c = 0; c < 4; c++)
                tini_wasm_store(m, tile, t + c, acc + 4 * c);
        }
        for (; t < m->rows; t++) {
            tini_wasm_float_patch(m, 2 * tile, t, 2, 1, format, acc);
            tini_wasm_store(m, tile, t, acc);
        }
    }
}

TINI_REGION_END

#endif
