#include "../../core/base/kernel.h"

TINI_REGION_REFERENCE

/* One row of a tile. Of a column, input i adds to partial sum i % 4, in order, from 0; (s0 + s1) + (s2 + s3) is the sum.
 * With S before the token: m = (sum of S * k) * d, or plain: 0; e = (v - m) * b; S = S * d + k * e; out = (sum of the new
 * S * q) * scale, plain: + v * skip. */
static void delta_row(const tini_delta *d, const float *from, float *to, uint32_t row, uint32_t column) {
    const float *q = d->q + row * d->qk_stride, *k = d->k + row * d->qk_stride;
    const float *v = d->v + row * d->v_stride + column;
    float *out = d->out + row * d->out_stride + column, decay = d->decay[row];
    float sum[4][TINI_TILE] = {{0}}, e[TINI_TILE];
    for (uint32_t i = 0; !d->plain && i < d->inputs; i++)
        for (uint32_t lane = 0; lane < TINI_TILE; lane++)
            sum[i % 4][lane] = sum[i % 4][lane] + from[i * TINI_TILE + lane] * k[i];
    for (uint32_t lane = 0; lane < TINI_TILE; lane++) {
        float m = ((sum[0][lane] + sum[1][lane]) + (sum[2][lane] + sum[3][lane])) * decay;
        e[lane] = (v[lane] - m) * d->beta[row];
        sum[0][lane] = sum[1][lane] = sum[2][lane] = sum[3][lane] = 0.0f;
    }
    for (uint32_t i = 0; i < d->inputs; i++) {
        for (uint32_t lane = 0; lane < TINI_TILE; lane++) {
            float s = from[i * TINI_TILE + lane] * decay + k[i] * e[lane];
            to[i * TINI_TILE + lane] = s;
            sum[i % 4][lane] = sum[i % 4][lane] + s * q[i];
        }
    }
    for (uint32_t lane = 0; lane < TINI_TILE; lane++) {
        float y = ((sum[0][lane] + sum[1][lane]) + (sum[2][lane] + sum[3][lane])) * d->scale;
        out[lane] = d->plain ? y + v[lane] * d->skip : y;
    }
}

void tini_delta_scalar(const tini_delta *d, uint32_t tile_begin, uint32_t tile_end) {
    for (uint32_t tile = tile_begin; tile < tile_end; tile++) {
        size_t at = (size_t)tile * d->inputs * TINI_TILE;
        for (uint32_t row = 0; row < d->rows; row++)
            delta_row(d, (row ? d->to : d->from) + at, d->to + at, row, tile * TINI_TILE);
    }
}

TINI_REGION_END
