/* Products of small float matrices, for training's functions of one instruction set (each_set.h). */
#include "lanes_set.h"

/* out[r][c] += the sum over k of factors[r][k] * matrix[k][c], of a tile in registers. */
TINI_INLINE void TINI_OF(tini_tile)(const uint32_t rows, const uint32_t lanes, float *out, size_t out_row,
                                    const float *factors, size_t row, size_t column, uint32_t count,
                                    const float *matrix, size_t matrix_row) {
    LANE sums[4][4];
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t v = 0; v < lanes; v++)
            sums[r][v] = TINI_OF(tini_load)(out + r * out_row + v * LANES);
    for (uint32_t k = 0; k < count; k++, matrix += matrix_row, factors += column)
        for (uint32_t v = 0; v < lanes; v++) {
            LANE loaded = TINI_OF(tini_load)(matrix + v * LANES);
            for (uint32_t r = 0; r < rows; r++)
                sums[r][v] += factors[r * row] * loaded;
        }
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t v = 0; v < lanes; v++)
            TINI_OF(tini_store)(out + r * out_row + v * LANES, sums[r][v]);
}

/* The same of whole matrices: out [rows][width], width whole vectors; factors' rows and columns so far apart; matrix
 * [count][matrix_row]. */
static void TINI_OF(tini_times)(float *out, size_t out_row, uint32_t rows, uint32_t width, const float *factors,
                                size_t row, size_t column, uint32_t count, const float *matrix,
                                size_t matrix_row) {
    enum { WIDE = TINI_LANES < 16 ? 2 : 4 }; /* as the registers have room for */
    uint32_t height;
    for (uint32_t r = 0; r < rows; r += height, out += height * out_row, factors += height * row) {
        height = rows - r >= 4 ? 4 : rows - r >= 2 ? 2 : 1;
        uint32_t c = 0;
#define TINI_TILE_AT(rows, lanes)                                                                           \
    TINI_OF(tini_tile)(rows, lanes, out + c, out_row, factors, row, column, count, matrix + c, matrix_row); \
    c += (lanes) * LANES
        while (c + WIDE * LANES <= width)
            if (height == 4) {
                TINI_TILE_AT(4, WIDE);
            } else if (height == 2) {
                TINI_TILE_AT(2, WIDE);
            } else {
                TINI_TILE_AT(1, WIDE);
            }
        while (c < width)
            if (height == 4) {
                TINI_TILE_AT(4, 1);
            } else {
                TINI_OF(tini_tile)(1, 1, out + c, out_row, factors, row, column, count, matrix + c, matrix_row);
                if (height == 2)
                    TINI_OF(tini_tile)
                (1, 1, out + c + out_row, out_row, factors + row, row, column, count, matrix + c, matrix_row);
                c += LANES;
            }
#undef TINI_TILE_AT
    }
}
