#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_REFERENCE

/* Per row, with m the maximum and l the sum of the tiles before:
 *
 *     m'    = max(m, the scores);  alpha = exp((m - m') * scale)
 *     and per block of 32 positions, with h the highest of its scores,
 *     q[p]  = tini_weight((score[p] - h) * (scale * log2(e)));  0 past the last position
 *     sum   = the exact sum of q;  d = exp((h - m') * scale), exp being tini_exp
 *     l'    = l * alpha, then + d * (float)sum for each block in order
 *
 * The weights are d * q, 127 times exp((score - m') * scale); the 127 goes when outputs are divided by l. */
void tini_softmax_q8_scalar(const tini_softmax *s) {
    const uint32_t blocks = (s->count + TINI_BLOCK - 1) / TINI_BLOCK;
    const float factor = s->scale * TINI_EXP_LOG2E;
    for (uint32_t r = 0; r < s->rows; r++) {
        const float *scores = s->scores + r * TINI_WHOLE_TILE;
        tini_q8 *weights = s->weights + r * (TINI_WHOLE_TILE / TINI_BLOCK);
        float highest = s->maximum[r];
        for (uint32_t p = 0; p < s->count; p++)
            highest = scores[p] > highest ? scores[p] : highest;
        float alpha = tini_exp((s->maximum[r] - highest) * s->scale), total = s->sum[r] * alpha;
        for (uint32_t b = 0; b < blocks; b++) {
            const float *score = scores + b * TINI_BLOCK;
            uint32_t count = s->count - b * TINI_BLOCK < TINI_BLOCK ? s->count - b * TINI_BLOCK : TINI_BLOCK;
            float high = score[0];
            for (uint32_t i = 1; i < count; i++)
                high = score[i] > high ? score[i] : high;
            tini_q8 block = {.scale = tini_exp((high - highest) * s->scale)};
            for (uint32_t i = 0; i < count; i++) {
                block.q[i] = (int8_t)tini_weight((score[i] - high) * factor);
                block.sum += block.q[i];
            }
            total = total + block.scale * (float)block.sum;
            weights[b] = block;
        }
        s->maximum[r] = highest;
        s->alpha[r] = alpha;
        s->sum[r] = total;
    }
}

TINI_REGION_END
