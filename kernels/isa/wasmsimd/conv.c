#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD
#include "../../core/base/kernel.h"
#include "exp.h"

TINI_REGION_WASMSIMD

/* Tiles whose channels lie together in a row are taken at once, so that rows are read along. */
enum { CONV_TILES_WASMSIMD = 8 };

TINI_INLINE v128_t conv_four_wasmsimd(const tini_conv *c, uint32_t tile, uint32_t row, uint32_t lane) {
    const float *w = c->weights + (size_t)tile * c->taps * TINI_TILE + lane;
    v128_t y = wasm_f32x4_mul(wasm_v128_load(w), wasm_v128_load(tini_conv_input(c, tile, row) + lane));
    for (uint32_t tap = 1; tap < c->taps; tap++) {
        v128_t x = wasm_v128_load(tini_conv_input(c, tile, row + tap) + lane);
        y = wasm_f32x4_add(y, wasm_f32x4_mul(wasm_v128_load(w + tap * TINI_TILE), x));
    }
    if (c->bias)
        y = wasm_f32x4_add(y, wasm_v128_load(c->bias + (size_t)tile * TINI_TILE + lane));
    if (!c->silu)
        return y;
    v128_t divisor = wasm_f32x4_add(wasm_f32x4_splat(1.0f), tini_wasm_exp(wasm_f32x4_neg(y)));
    return wasm_f32x4_div(y, divisor);
}

/* Lanes are channels, which have nothing to do with each other: the scalar's steps in its order. */
void tini_conv_wasmsimd(const tini_conv *c, uint32_t tile_begin, uint32_t tile_end) {
    for (uint32_t begin = tile_begin; begin < tile_end; begin += CONV_TILES_WASMSIMD) {
        uint32_t end = tile_end - begin < CONV_TILES_WASMSIMD ? tile_end : begin + CONV_TILES_WASMSIMD;
        for (uint32_t row = 0; row < c->rows; row++)
            for (uint32_t tile = begin; tile < end; tile++)
                for (uint32_t lane = 0; lane < TINI_TILE; lane += 4)
                    wasm_v128_store(c->out + row * c->out_stride + (size_t)tile * TINI_TILE + lane,
                                    conv_four_wasmsimd(c, tile, row, lane));
        for (uint32_t tile = begin; tile < end; tile++) {
            float *to = c->to + (size_t)tile * (c->taps - 1) * TINI_TILE;
            for (uint32_t t = 0; t + 1 < c->taps; t++, to += TINI_TILE)
                for (uint32_t lane = 0; lane < TINI_TILE; lane += 4)
                    wasm_v128_store(to + lane, wasm_v128_load(tini_conv_input(c, tile, c->rows + t) + lane));
        }
    }
}

TINI_REGION_END
#endif
