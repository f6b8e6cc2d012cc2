/* Matmul with float activations: the loops of all x86 sets, included by each one's floats.h with its vocabulary.
 *
 * TINI_SET(name)   a name of the set: type floats; functions as called below
 * TINI_PARTS       registers that hold one input of a tile's 16 rows
 * TINI_TILES       tiles that go with six rows of x, for as many sums as registers hold
 *
 * Bits equal the scalar's: a lane is a row, and each input is one multiply and one add, in order. Weights widen exactly;
 * storing and reloading a sum does not change it. */

#define TINI_FLOATS TINI_SET(floats)

/* One register of weights: number k of the tiles from `w` on, at one input. */
TINI_INLINE TINI_FLOATS TINI_SET(some_weights)(const uint8_t *w, size_t tile_bytes, uint32_t k,
                                               const int format) {
    const size_t bytes = TINI_TILE / TINI_PARTS * (format == TINI_FORMAT_F32 ? 4 : 2);
    return TINI_SET(weights)(w + k / TINI_PARTS * tile_bytes + k % TINI_PARTS * bytes, format);
}

/* For few rows: `tiles` tiles by `columns` rows of x, enough chains of additions to hide one's latency. */
TINI_INLINE void TINI_SET(float_patch)(const tini_matmul *m, uint32_t tile, uint32_t t, const uint32_t tiles,
                                       const uint32_t columns, const int format) {
    const uint32_t registers = tiles * TINI_PARTS;
    const size_t input_bytes = TINI_TILE * (format == TINI_FORMAT_F32 ? 4 : 2);
    const size_t tile_bytes = m->inputs * input_bytes;
    const uint8_t *w = m->weights + tile * tile_bytes;
    const float *x[4];
    TINI_FLOATS acc[4][8];
    TINI_UNROLL for (uint32_t c = 0; c < columns; c++) {
        x[c] = tini_row_f32(m, t + c);
        TINI_UNROLL for (uint32_t k = 0; k < registers; k++) acc[c][k] = TINI_SET(spread_f32)(0.0f);
    }
    for (uint32_t i = 0; i < m->inputs; i++, w += input_bytes) {
        TINI_UNROLL for (uint32_t k = 0; k < registers; k++) {
            const TINI_FLOATS weights = TINI_SET(some_weights)(w, tile_bytes, k, format);
            TINI_UNROLL for (uint32_t c = 0; c < columns; c++) acc[c][k] =
                TINI_SET(plus)(acc[c][k], TINI_SET(times)(weights, TINI_SET(spread_f32)(x[c][i])));
        }
    }
    TINI_FLOATS y[8]; /* in memory, for a loop that is not unrolled */
    TINI_UNROLL for (uint32_t c = 0; c < columns; c++) TINI_UNROLL for (uint32_t k = 0; k < registers; k++)
        y[c * registers + k] = acc[c][k];
    TINI_SET(store)(m, tile * TINI_PARTS, t, y, registers, columns);
}

/* The inputs that weights are widened for at once, which stay in the nearest cache, and the rows of x that they serve: more rows
 * widen them less often, and sums of all of them must fit a thread's stack (docs/c-api.md). */
#define TINI_INPUTS 128
#define TINI_COLUMNS 96

/* Floats by `tiles` tiles and `columns` rows of x: sums = sums + weights * x, input by input. Strides are in bytes. */
TINI_INLINE void TINI_SET(panel_add)(float *sums, const uint8_t *weights, size_t tile_bytes, const uint8_t *x,
                                     size_t x_stride, uint32_t inputs, const uint32_t tiles,
                                     const uint32_t columns) {
    const uint32_t registers = tiles * TINI_PARTS, lanes = TINI_TILE / TINI_PARTS;
    const float *row[6];
    TINI_FLOATS acc[6][4];
    TINI_UNROLL for (uint32_t c = 0; c < columns; c++) {
        row[c] = (const float *)(const void *)(x + c * x_stride);
        TINI_UNROLL for (uint32_t k = 0; k < registers; k++) acc[c][k] =
            TINI_SET(load_f32)(sums + (c * registers + k) * lanes);
    }
    for (size_t i = 0; i < inputs; i++, weights += TINI_TILE * sizeof(float)) {
        TINI_FLOATS w[4];
        TINI_UNROLL for (uint32_t k = 0; k < registers; k++) w[k] =
            TINI_SET(some_weights)(weights, tile_bytes, k, TINI_FORMAT_F32);
        TINI_UNROLL for (uint32_t c = 0; c < columns; c++) {
            const TINI_FLOATS element = TINI_SET(spread_f32)(row[c][i]);
            TINI_UNROLL for (uint32_t k = 0; k < registers; k++) acc[c][k] =
                TINI_SET(plus)(acc[c][k], TINI_SET(times)(w[k], element));
        }
    }
    TINI_UNROLL for (uint32_t c = 0; c < columns; c++) TINI_UNROLL for (uint32_t k = 0; k < registers; k++)
        TINI_SET(store_f32)(sums + (c * registers + k) * lanes, acc[c][k]);
}

TINI_INLINE void TINI_SET(panel_rows)(float *sums, const uint8_t *weights, size_t tile_bytes, const uint8_t *x,
                                      size_t x_stride, uint32_t inputs, uint32_t rows, const uint32_t tiles) {
    for (; rows >= 6; rows -= 6, x += 6 * x_stride, sums += 6 * tiles * TINI_TILE)
        TINI_SET(panel_add)(sums, weights, tile_bytes, x, x_stride, inputs, tiles, 6);
    for (; rows; rows--, x += x_stride, sums += tiles * TINI_TILE)
        TINI_SET(panel_add)(sums, weights, tile_bytes, x, x_stride, inputs, tiles, 1);
}

/* Once for all formats. tiles: 1, 2 or TINI_TILES. */
static void TINI_SET(panel_all)(float *sums, const uint8_t *weights, size_t tile_bytes, const uint8_t *x,
                                size_t x_stride, uint32_t inputs, uint32_t rows, uint32_t tiles) {
    if (TINI_TILES > 1 && tiles == 1)
        TINI_SET(panel_rows)(sums, weights, tile_bytes, x, x_stride, inputs, rows, 1);
    else if (TINI_TILES > 2 && tiles == 2)
        TINI_SET(panel_rows)(sums, weights, tile_bytes, x, x_stride, inputs, rows, 2);
    else
        TINI_SET(panel_rows)(sums, weights, tile_bytes, x, x_stride, inputs, rows, TINI_TILES);
}

/* All rows of x by `tiles` tiles, 1, 2 or TINI_TILES. Floats are taken where they lie, and all inputs at once. */
TINI_INLINE void TINI_SET(float_panels)(const tini_matmul *m, uint32_t tile, uint32_t tiles, const int format) {
    const uint32_t registers = tiles * TINI_PARTS, lanes = TINI_TILE / TINI_PARTS;
    const int floats = format == TINI_FORMAT_F32;
    const size_t input_bytes = TINI_TILE * (floats ? 4 : 2), tile_bytes = m->inputs * input_bytes;
    const uint8_t *w = m->weights + tile * tile_bytes;
    _Alignas(64) float wide[TINI_TILES * TINI_INPUTS * TINI_TILE];  /* [tile][input][16], large: not cleared */
    _Alignas(64) float sums[TINI_COLUMNS * TINI_TILES * TINI_TILE]; /* [row][tile][16], of the inputs so far */
    for (uint32_t t = 0, rows; t < m->rows; t += rows) {
        const uint8_t *x = (const uint8_t *)m->x + t * m->x_stride;
        rows = m->rows - t < TINI_COLUMNS ? m->rows - t : TINI_COLUMNS;
        memset(sums, 0, (size_t)rows * tiles * TINI_TILE * sizeof *sums);
        tini_fetch_outputs(m, tile, t, tiles, rows);
        if (floats)
            TINI_SET(panel_all)(sums, w, tile_bytes, x, m->x_stride, m->inputs, rows, tiles);
        for (uint32_t from = 0, inputs; from < (floats ? 0 : m->inputs); from += inputs) {
            inputs = m->inputs - from < TINI_INPUTS ? m->inputs - from : TINI_INPUTS;
            float *to = wide;
            for (uint32_t k = 0; k < tiles; k++)
                for (uint32_t i = 0; i < inputs * TINI_PARTS; i++, to += lanes)
                    TINI_SET(store_f32)(to, TINI_SET(weights)(w + k * tile_bytes + from * input_bytes +
                                                                  i * (input_bytes / TINI_PARTS),
                                                              format));
            TINI_SET(panel_all)(sums, (const uint8_t *)wide, inputs * TINI_TILE * sizeof(float),
                                x + from * sizeof(float), m->x_stride, inputs, rows, tiles);
        }
        TINI_SET(store)(m, tile * TINI_PARTS, t, (const TINI_FLOATS *)(const void *)sums, registers, rows);
    }
}

TINI_INLINE void TINI_SET(matmul_f32)(const tini_matmul *m, uint32_t tile, uint32_t tile_end,
                                      const int format) {
    tile_end = tini_tile_limit(m, tile_end);
    if (m->rows >= 6) {
        for (uint32_t tiles; tile < tile_end; tile += tiles) {
            tiles = tile_end - tile >= TINI_TILES ? TINI_TILES : tile_end - tile >= 2 ? 2 : 1;
            TINI_SET(float_panels)(m, tile, tiles, format);
        }
        return;
    }
    for (; m->rows == 1 && tile + 4 <= tile_end; tile += 4)
        TINI_SET(float_patch)(m, tile, 0, 4, 1, format);
    for (; tile < tile_end; tile++) {
        uint32_t t = 0;
        for (; t + 4 <= m->rows; t += 4)
            TINI_SET(float_patch)(m, tile, t, 1, 4, format);
        for (; t < m->rows; t++)
            TINI_SET(float_patch)(m, tile, t, 1, 1, format);
    }
}

#undef TINI_INPUTS
#undef TINI_COLUMNS
#undef TINI_FLOATS
