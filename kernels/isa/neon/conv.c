#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include "../../core/base/kernel.h"
#include "exp.h"

TINI_REGION_NEON

/* Tiles whose channels lie together in a row are taken at once, so that rows are read along. */
enum { CONV_TILES_NEON = 8 };

TINI_INLINE float32x4_t conv_four_neon(const tini_conv *c, uint32_t tile, uint32_t row, uint32_t lane) {
    const float *w = c->weights + (size_t)tile * c->taps * TINI_TILE + lane;
    float32x4_t y = vmulq_f32(vld1q_f32(w), vld1q_f32(tini_conv_input(c, tile, row) + lane));
    for (uint32_t tap = 1; tap < c->taps; tap++) {
        float32x4_t x = vld1q_f32(tini_conv_input(c, tile, row + tap) + lane);
        y = vaddq_f32(y, vmulq_f32(vld1q_f32(w + tap * TINI_TILE), x));
    }
    if (c->bias)
        y = vaddq_f32(y, vld1q_f32(c->bias + (size_t)tile * TINI_TILE + lane));
    return c->silu ? vdivq_f32(y, vaddq_f32(vdupq_n_f32(1.0f), tini_neon_exp(vnegq_f32(y)))) : y;
}

/* Lanes are channels, which have nothing to do with each other: the scalar's steps in its order. */
void tini_conv_neon(const tini_conv *c, uint32_t tile_begin, uint32_t tile_end) {
    for (uint32_t begin = tile_begin; begin < tile_end; begin += CONV_TILES_NEON) {
        uint32_t end = tile_end - begin < CONV_TILES_NEON ? tile_end : begin + CONV_TILES_NEON;
        for (uint32_t row = 0; row < c->rows; row++)
            for (uint32_t tile = begin; tile < end; tile++)
                for (uint32_t lane = 0; lane < TINI_TILE; lane += 4)
                    vst1q_f32(c->out + row * c->out_stride + (size_t)tile * TINI_TILE + lane,
                              conv_four_neon(c, tile, row, lane));
        for (uint32_t tile = begin; tile < end; tile++) {
            float *to = c->to + (size_t)tile * (c->taps - 1) * TINI_TILE;
            for (uint32_t t = 0; t + 1 < c->taps; t++, to += TINI_TILE)
                for (uint32_t lane = 0; lane < TINI_TILE; lane += 4)
                    vst1q_f32(to + lane, vld1q_f32(tini_conv_input(c, tile, c->rows + t) + lane));
        }
    }
}

TINI_REGION_END
#endif
