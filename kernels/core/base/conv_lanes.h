/* conv on the lanes of a vector: channels, which have nothing to do with each other, so the scalar's steps in its order.
 * Included with these, which it undefines:
 *
 * TINI_LANES           a vector of floats
 * TINI_LANES_COUNT     vectors of channels at once: two if one's operations can run while the other's wait
 * TINI_LANES_CHANNELS  a name for what makes one
 * TINI_LANES_EXP(x)    tini_exp on each lane
 * TINI_LANES_CONV      a name for the function */

TINI_INLINE TINI_LANES TINI_LANES_CHANNELS(const tini_conv *c, uint32_t tile, uint32_t row, uint32_t lane) {
    typedef TINI_LANES loose __attribute__((aligned(4), may_alias));
    const float *w = c->weights + (size_t)tile * c->taps * TINI_TILE + lane;
    TINI_LANES y =
        *(const loose *)(const void *)w * *(const loose *)(const void *)(tini_conv_input(c, tile, row) + lane);
    for (uint32_t tap = 1; tap < c->taps; tap++) {
        const loose *x = (const void *)(tini_conv_input(c, tile, row + tap) + lane);
        y = y + *(const loose *)(const void *)(w + tap * TINI_TILE) * *x;
    }
    if (c->bias)
        y = y + *(const loose *)(const void *)(c->bias + (size_t)tile * TINI_TILE + lane);
    if (c->silu)
        y = y / (1.0f + TINI_LANES_EXP(-y));
    return y;
}

void TINI_LANES_CONV(const tini_conv *c, uint32_t tile_begin, uint32_t tile_end) {
    /* Tiles whose channels lie together in a row are taken at once, so that rows are read along. */
    enum { WIDTH = sizeof(TINI_LANES) / 4, COUNT = TINI_LANES_COUNT, TILES = 8 };
    for (uint32_t begin = tile_begin; begin < tile_end; begin += TILES) {
        const uint32_t end = tile_end - begin < TILES ? tile_end : begin + TILES;
        for (uint32_t row = 0; row < c->rows; row++) {
            for (uint32_t tile = begin; tile < end; tile++) {
                float *out = c->out + row * c->out_stride + (size_t)tile * TINI_TILE;
                for (uint32_t lane = 0; lane < TINI_TILE; lane += COUNT * WIDTH) {
                    TINI_LANES y[COUNT];
                    TINI_UNROLL
                    for (uint32_t k = 0; k < COUNT; k++)
                        y[k] = TINI_LANES_CHANNELS(c, tile, row, lane + k * WIDTH);
                    memcpy(out + lane, y, sizeof y);
                }
            }
        }
        for (uint32_t tile = begin; tile < end; tile++) {
            float *to = c->to + (size_t)tile * (c->taps - 1) * TINI_TILE;
            for (uint32_t t = 0; t + 1 < c->taps; t++, to += TINI_TILE)
                memcpy(to, tini_conv_input(c, tile, c->rows + t), TINI_TILE * sizeof *to);
        }
    }
}

#undef TINI_LANES
#undef TINI_LANES_COUNT
#undef TINI_LANES_CHANNELS
#undef TINI_LANES_EXP
#undef TINI_LANES_CONV
