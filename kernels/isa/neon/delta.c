#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include "../../core/base/kernel.h"

#include <arm_neon.h>

TINI_REGION_NEON

TINI_INLINE float32x4_t sum_four_neon(const float32x4_t part[16], int n) {
    return vaddq_f32(vaddq_f32(part[n], part[4 + n]), vaddq_f32(part[8 + n], part[12 + n]));
}

/* Four registers hold a tile's 16 columns, and sixteen their partial sums: part[4 j + n] is the scalar's sum j. */
TINI_INLINE void delta_row_neon(const tini_delta *d, const float *from, float *to, uint32_t row,
                                uint32_t column) {
    const float *q = d->q + row * d->qk_stride, *k = d->k + row * d->qk_stride;
    const float *v = d->v + row * d->v_stride + column;
    float *out = d->out + row * d->out_stride + column;
    const float decay = d->decay[row], beta = d->beta[row];
    float32x4_t part[16], e[4];
    TINI_UNROLL
    for (int j = 0; j < 16; j++)
        part[j] = vdupq_n_f32(0.0f);
    for (uint32_t i = 0; !d->plain && i < d->inputs; i += 4) {
        TINI_UNROLL
        for (int j = 0; j < 16; j++)
            part[j] = vaddq_f32(part[j], vmulq_n_f32(vld1q_f32(from + i * TINI_TILE + 4 * j), k[i + j / 4]));
    }
    TINI_UNROLL
    for (int n = 0; n < 4; n++)
        e[n] = vmulq_n_f32(vsubq_f32(vld1q_f32(v + 4 * n), vmulq_n_f32(sum_four_neon(part, n), decay)), beta);
    TINI_UNROLL
    for (int j = 0; j < 16; j++)
        part[j] = vdupq_n_f32(0.0f);
    for (uint32_t i = 0; i < d->inputs; i += 4) {
        TINI_UNROLL
        for (int j = 0; j < 16; j++) {
            float32x4_t s = vmulq_n_f32(vld1q_f32(from + i * TINI_TILE + 4 * j), decay);
            s = vaddq_f32(s, vmulq_n_f32(e[j % 4], k[i + j / 4]));
            vst1q_f32(to + i * TINI_TILE + 4 * j, s);
            part[j] = vaddq_f32(part[j], vmulq_n_f32(s, q[i + j / 4]));
        }
    }
    TINI_UNROLL
    for (int n = 0; n < 4; n++) {
        float32x4_t y = vmulq_n_f32(sum_four_neon(part, n), d->scale);
        if (d->plain)
            y = vaddq_f32(y, vmulq_n_f32(vld1q_f32(v + 4 * n), d->skip));
        vst1q_f32(out + 4 * n, y);
    }
}

/* Lanes are columns of the state, which have nothing to do with each other: the scalar's steps in its order. */
void tini_delta_neon(const tini_delta *d, uint32_t tile_begin, uint32_t tile_end) {
    for (uint32_t tile = tile_begin; tile < tile_end; tile++) {
        size_t at = (size_t)tile * d->inputs * TINI_TILE;
        for (uint32_t row = 0; row < d->rows; row++)
            delta_row_neon(d, (row ? d->to : d->from) + at, d->to + at, row, tile * TINI_TILE);
    }
}

TINI_REGION_END
#endif
