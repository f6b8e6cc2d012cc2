/* softmax_q8 on the lanes of a vector. Bits equal the scalar's: lanes are positions, the largest score does not depend on the
 * order of comparisons, -infinity in the place of what is no position weighs 0, and sums of q are exact. Included
 * with these, which it undefines:
 *
 * TINI_LANES                a vector of floats
 * TINI_LANES_SOFTMAX        a name for the function
 * TINI_LANES_EXP(x)         tini_exp on each lane
 * TINI_LANES_MAX(x, y)      the larger of each lane
 * TINI_LANES_NARROW(to, q)  stores the 32 int8 values of vectors of int32 */

TINI_INLINE void TINI_LANES_SOFTMAX(const tini_softmax *s) {
    typedef TINI_LANES loose __attribute__((aligned(4), may_alias));
    typedef uint32_t bits __attribute__((vector_size(sizeof(TINI_LANES))));
    enum { WIDTH = sizeof(TINI_LANES) / 4, PARTS = TINI_BLOCK / WIDTH, BLOCKS = TINI_WHOLE_TILE / TINI_BLOCK };
    const uint32_t blocks = (s->count + TINI_BLOCK - 1) / TINI_BLOCK, over = s->count % TINI_BLOCK;
    const float factor = s->scale * TINI_EXP_LOG2E;
    for (uint32_t r = 0; r < s->rows; r++) {
        const float *scores = s->scores + r * TINI_WHOLE_TILE;
        tini_q8 *weights = s->weights + r * BLOCKS;
        float last[TINI_BLOCK], high[BLOCKS] = {0}, power[BLOCKS], highest = s->maximum[r];
        for (uint32_t i = 0; over && i < TINI_BLOCK; i++)
            last[i] = i < over ? scores[(blocks - 1) * TINI_BLOCK + i] : -TINI_INFINITY;
        for (uint32_t b = 0; b < blocks; b++) {
            const loose *score =
                (const loose *)(const void *)(over && b + 1 == blocks ? last : scores + b * TINI_BLOCK);
            TINI_LANES most = score[0];
            for (uint32_t k = 1; k < PARTS; k++)
                most = TINI_LANES_MAX(most, score[k]);
            high[b] = most[0];
            for (uint32_t i = 1; i < WIDTH; i++)
                high[b] = most[i] > high[b] ? most[i] : high[b];
            highest = high[b] > highest ? high[b] : highest;
        }
        for (uint32_t b = 0; b < BLOCKS; b += WIDTH)
            *(loose *)(void *)(power + b) =
                TINI_LANES_EXP((*(const loose *)(const void *)(high + b) - highest) * s->scale);
        s->alpha[r] = tini_exp((s->maximum[r] - highest) * s->scale);
        s->maximum[r] = highest;
        s->sum[r] = s->sum[r] * s->alpha[r];
        for (uint32_t b = 0; b < blocks; b++) {
            const loose *score =
                (const loose *)(const void *)(over && b + 1 == blocks ? last : scores + b * TINI_BLOCK);
            const TINI_LANES none = {0};
            bits q[PARTS], sum = (bits)none;
            for (uint32_t k = 0; k < PARTS; k++) {
                /* tini_weight of t */
                const TINI_LANES t = TINI_LANES_MAX((score[k] - high[b]) * factor, none + TINI_WEIGHT_LOWEST);
                const TINI_LANES shifted = t + TINI_ROUND_F32, f = t - (shifted - TINI_ROUND_F32);
                TINI_LANES y = TINI_WEIGHT_P3 * f + TINI_WEIGHT_P2;
                y = y * f + TINI_WEIGHT_P1;
                y = y * f + TINI_WEIGHT_P0;
                y = (TINI_LANES)((bits)y + ((bits)shifted << 23));
                q[k] = (bits)(y + TINI_ROUND_F32) - (bits)(none + TINI_ROUND_F32);
                sum += q[k];
            }
            weights[b].scale = power[b];
            uint32_t whole = 0;
            for (uint32_t i = 0; i < WIDTH; i++)
                whole += sum[i];
            weights[b].sum = (int32_t)whole;
            TINI_LANES_NARROW(weights[b].q, q);
            s->sum[r] = s->sum[r] + weights[b].scale * (float)weights[b].sum;
        }
    }
}

#undef TINI_LANES
#undef TINI_LANES_SOFTMAX
#undef TINI_LANES_EXP
#undef TINI_LANES_MAX
#undef TINI_LANES_NARROW
