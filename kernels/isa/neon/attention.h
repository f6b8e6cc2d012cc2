/* What the attention kernels share on NEON: a few query heads of one row walk the tiles together.
 *
 * Bits equal the scalar's: scores have one lane a position; the weights' 16 partial sums are four registers; outputs have
 * one lane an element and sum over positions in order. Positions of a group of 16 that are not seen are given the score
 * -infinity: their weight is 0, which leaves a partial sum as it was; their values are not read. */
#ifndef TINI_NEON_ATTENTION_H
#define TINI_NEON_ATTENTION_H

#include "../../core/base/kernel.h"
#include "../../core/base/rows.h"
#include "exp.h"
#include "rows.h"

enum { TINI_NEON_HEADS = 4, TINI_NEON_OUTPUTS = 1024 };

typedef struct tini_neon_state {
    float acc[TINI_NEON_OUTPUTS]; /* [head][head_dim] */
    float lanes[TINI_NEON_HEADS][16];
    float weights[TINI_NEON_HEADS][TINI_KV_TILE];
    float maximum[TINI_NEON_HEADS], alpha[TINI_NEON_HEADS];
} tini_neon_state;

TINI_REGION_NEON

TINI_INLINE void tini_neon_start(tini_neon_state *s, uint32_t heads, uint32_t head_dim) {
    memset(s->acc, 0, (size_t)heads * head_dim * sizeof(float));
    for (uint32_t h = 0; h < heads; h++) {
        memset(s->lanes[h], 0, sizeof s->lanes[h]);
        s->maximum[h] = -TINI_INFINITY;
    }
}

/* How many of the heads from `head` on are taken together: four, or what is left, as far as their accumulators fit. */
TINI_INLINE uint32_t tini_neon_together(uint32_t heads, uint32_t head, uint32_t head_dim) {
    uint32_t left = heads - head, most = head_dim * TINI_NEON_HEADS <= TINI_NEON_OUTPUTS ? TINI_NEON_HEADS : 2;
    return left < most ? left : most;
}

/* Turns head h's scores of a tile into weights. In attention_f16.c. */
TINI_NEON_ONCE void tini_neon_weigh(tini_neon_state *s, uint32_t h, uint32_t begin, uint32_t end, float cap);

/* out[heads][head_dim] = acc * (1 / the sum of the weights). */
TINI_INLINE void tini_neon_finish(const tini_neon_state *s, float *out, uint32_t heads, uint32_t head_dim) {
    for (uint32_t h = 0; h < heads; h++) {
        float inverse = 1.0f / tini_sum16(s->lanes[h]);
        for (uint32_t d = 0; d < head_dim; d += 4)
            vst1q_f32(out + h * head_dim + d, vmulq_n_f32(vld1q_f32(s->acc + h * head_dim + d), inverse));
    }
}

TINI_REGION_END

#endif
