#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_REFERENCE

/* y = w[0] * x[-taps + 1]; for each further tap, oldest first: y = y + w * x; then y = y + bias, if any. Then out = y, or y / (1 + exp(-y)) with
 * tini_exp. The state moves on in order, so that it may be read where it is written. */
void tini_conv_scalar(const tini_conv *c, uint32_t tile_begin, uint32_t tile_end) {
    for (uint32_t tile = tile_begin; tile < tile_end; tile++) {
        for (uint32_t row = 0; row < c->rows; row++) {
            const float *w = c->weights + (size_t)tile * c->taps * TINI_TILE;
            float *out = c->out + row * c->out_stride + (size_t)tile * TINI_TILE, y[TINI_TILE] = {0};
            for (uint32_t tap = 0; tap < c->taps; tap++, w += TINI_TILE) {
                const float *x = tini_conv_input(c, tile, row + tap);
                for (uint32_t lane = 0; lane < TINI_TILE; lane++)
                    y[lane] = tap ? y[lane] + w[lane] * x[lane] : w[lane] * x[lane];
            }
            for (uint32_t lane = 0; c->bias && lane < TINI_TILE; lane++)
                y[lane] = y[lane] + c->bias[tile * TINI_TILE + lane];
            for (uint32_t lane = 0; lane < TINI_TILE; lane++)
                out[lane] = c->silu ? y[lane] / (1.0f + tini_exp(-y[lane])) : y[lane];
        }
        for (uint32_t t = 0; t + 1 < c->taps; t++) {
            float *to = c->to + ((size_t)tile * (c->taps - 1) + t) * TINI_TILE;
            const float *from = tini_conv_input(c, tile, c->rows + t);
            for (uint32_t lane = 0; lane < TINI_TILE; lane++)
                to[lane] = from[lane];
        }
    }
}

TINI_REGION_END
