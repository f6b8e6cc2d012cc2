/* delta on the lanes of a vector: columns of the state, which have nothing to do with each other, so the scalar's steps in its
 * order. Included with these, which it undefines:
 *
 * TINI_LANES            a vector of floats
 * TINI_LANES_COUNT      vectors of columns at once: as many as registers hold four partial sums of
 * TINI_LANES_DELTA_ROW  a name for what computes these columns of a row
 * TINI_LANES_DELTA      a name for the function */

TINI_INLINE void TINI_LANES_DELTA_ROW(const tini_delta *d, const float *from, float *to, uint32_t row,
                                      uint32_t column) {
    typedef TINI_LANES loose __attribute__((aligned(4), may_alias));
    enum { WIDTH = sizeof(TINI_LANES) / 4, COUNT = TINI_LANES_COUNT };
    const float *q = d->q + row * d->qk_stride, *k = d->k + row * d->qk_stride;
    const float decay = d->decay[row], beta = d->beta[row];
    const loose *v = (const void *)(d->v + row * d->v_stride + column);
    loose *out = (void *)(d->out + row * d->out_stride + column);
    const TINI_LANES none = {0};
    TINI_LANES part[4][COUNT], e[COUNT]; /* part[j]: the scalar's sum j */
    TINI_UNROLL
    for (uint32_t n = 0; n < COUNT; n++)
        part[0][n] = part[1][n] = part[2][n] = part[3][n] = none;
    for (size_t i = 0; !d->plain && i < d->inputs; i += 4) {
        TINI_UNROLL
        for (uint32_t j = 0; j < 4; j++) {
            const loose *s = (const void *)(from + (i + j) * TINI_TILE);
            TINI_UNROLL
            for (uint32_t n = 0; n < COUNT; n++)
                part[j][n] = part[j][n] + s[n] * k[i + j];
        }
    }
    TINI_UNROLL
    for (uint32_t n = 0; n < COUNT; n++) {
        e[n] = (v[n] - ((part[0][n] + part[1][n]) + (part[2][n] + part[3][n])) * decay) * beta;
        part[0][n] = part[1][n] = part[2][n] = part[3][n] = none;
    }
    for (size_t i = 0; i < d->inputs; i += 4) {
        TINI_UNROLL
        for (uint32_t j = 0; j < 4; j++) {
            const loose *old = (const void *)(from + (i + j) * TINI_TILE);
            loose *made = (void *)(to + (i + j) * TINI_TILE);
            TINI_UNROLL
            for (uint32_t n = 0; n < COUNT; n++) {
                const TINI_LANES s = old[n] * decay + k[i + j] * e[n];
                made[n] = s;
                part[j][n] = part[j][n] + s * q[i + j];
            }
        }
    }
    TINI_UNROLL
    for (uint32_t n = 0; n < COUNT; n++) {
        TINI_LANES y = ((part[0][n] + part[1][n]) + (part[2][n] + part[3][n])) * d->scale;
        if (d->plain)
            y = y + v[n] * d->skip;
        out[n] = y;
    }
}

void TINI_LANES_DELTA(const tini_delta *d, uint32_t tile_begin, uint32_t tile_end) {
    enum { COLUMNS = sizeof(TINI_LANES) / 4 * TINI_LANES_COUNT };
    for (uint32_t tile = tile_begin; tile < tile_end; tile++) {
        for (uint32_t column = 0; column < TINI_TILE; column += COLUMNS) {
            const size_t at = (size_t)tile * d->inputs * TINI_TILE + column;
            for (uint32_t row = 0; row < d->rows; row++)
                TINI_LANES_DELTA_ROW(d, (row ? d->to : d->from) + at, d->to + at, row,
                                     tile * TINI_TILE + column);
        }
    }
}

#undef TINI_LANES
#undef TINI_LANES_COUNT
#undef TINI_LANES_DELTA_ROW
#undef TINI_LANES_DELTA
