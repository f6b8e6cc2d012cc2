/* Matmul with 8-bit activations on WebAssembly SIMD, which multiplies 16-bit lanes: a register holds the same four (q8)
 * or eight (q4) inputs of four rows, a quarter of a tile.
 *
 * Bits equal the scalar's, because every integer sum is exact and floats are one lane a row, as in the scalar loop. A
 * 16-bit lane L of packed weights holds two bytes, or four nibbles, of one row.
 *
 *   q8   the low byte by a mask and the high one by a shift, both unsigned (w + 128), go through i32x4.dot_i16x8_s. The
 *        sum starts at -128 times that of the activations.
 *   q4   with the nibbles n0 .. n3 of L in order and their activations x0 .. x3, n0 x0 + n1 x1 + n2 x2 + n3 x3 equals
 *        L y0 + (L >> 4) y1 + (L >> 8) y2 + (L >> 12) y3, where y0 = x0 and yk = xk - 16 x(k - 1): the shifted lanes
 *        need no masks. The multiplications wrap at 16 bits, which is exact as the lane's sum over a block fits: 16
 *        products of at most 15 * 127 reach 30,480. q4_0 takes 4 times the sum of the block's 32 activations off in
 *        each of a row's two lanes, which leaves at most 16 * 11 * 127 + 16 * 4 * 127 = 30,480 again.
 *
 * The activations' lanes, the same for all rows, are prepared once for a strip of blocks and a group of tiles. */
#ifndef TINI_WASMSIMD_BLOCKS_H
#define TINI_WASMSIMD_BLOCKS_H

#include "../../core/program.h"
#include "rows.h"

/* Blocks prepared at once, tiles that share them, and rows of x worked on together. */
enum { TINI_WASM_STRIP = 16, TINI_WASM_GROUP = 8, TINI_WASM_COLUMNS = 4 };

/* A block of activations. */
typedef struct tini_wasm_x {
    /* Words of two 16-bit activations. q8: [2][8], of inputs 4i + {0, 2} and 4i + {1, 3}; q4: [4][4], y0 .. y3 of the
     * i-th 64 bytes of a packed block. */
    int32_t pairs[16];
    float scale, total; /* total = scale * sum */
    int32_t start;      /* of each lane's integer sum */
} tini_wasm_x;

TINI_REGION_WASMSIMD

TINI_INLINE size_t tini_wasm_block_bytes(const int format) {
    return TINI_TILE * (format == TINI_FORMAT_Q8_0 ? 34 : format == TINI_FORMAT_Q4_0 ? 18 : 20);
}

/* The even and odd bytes of 16 as 16-bit lanes. */
TINI_INLINE v128_t tini_wasm_even(v128_t bytes) {
    return wasm_i16x8_shr(wasm_i16x8_shl(bytes, 8), 8);
}

TINI_INLINE v128_t tini_wasm_odd(v128_t bytes) {
    return wasm_i16x8_shr(bytes, 8);
}

/* x - 16 y */
TINI_INLINE v128_t tini_wasm_less16(v128_t x, v128_t y) {
    return wasm_i16x8_sub(x, wasm_i16x8_shl(y, 4));
}

TINI_INLINE void tini_wasm_prepare(tini_wasm_x *out, const tini_q8 *x, const int format) {
    v128_t low = wasm_v128_load(x->q), high = wasm_v128_load(x->q + 16), words[4];
    if (format == TINI_FORMAT_Q8_0) {
        words[0] = tini_wasm_even(low);
        words[1] = tini_wasm_even(high);
        words[2] = tini_wasm_odd(low);
        words[3] = tini_wasm_odd(high);
        out->start = (int32_t)(0u - 128u * (uint32_t)x->sum);
    } else {
        words[0] = tini_wasm_even(low);
        words[1] = tini_wasm_less16(tini_wasm_even(high), words[0]);
        words[2] = tini_wasm_less16(tini_wasm_odd(low), tini_wasm_even(high));
        words[3] = tini_wasm_less16(tini_wasm_odd(high), tini_wasm_odd(low));
        out->start = format == TINI_FORMAT_Q4_0 ? (int32_t)(0u - 4u * (uint32_t)x->sum) : 0;
    }
    for (uint32_t k = 0; k < 4; k++)
        wasm_v128_store(out->pairs + 4 * k, words[k]);
    out->scale = x->scale;
    out->total = x->scale * (float)x->sum;
}

/* sums[quads][columns]: exact integer sums of a block by `quads` times four rows. */
TINI_INLINE void tini_wasm_dot_q8(v128_t *sums, const uint8_t *w, const tini_wasm_x *x, const uint32_t quads,
                                  const uint32_t columns) {
    const v128_t byte = wasm_i16x8_const_splat(0xff);
    for (uint32_t c = 0; c < columns; c++)
        for (uint32_t q = 0; q < quads; q++)
            sums[q * columns + c] = wasm_i32x4_splat(x[c].start);
    for (uint32_t i = 0; i < 8; i++) {
        v128_t even[4], odd[4];
        for (uint32_t q = 0; q < quads; q++) {
            v128_t bytes = wasm_v128_load(w + 64 * i + 16 * q);
            even[q] = wasm_v128_and(bytes, byte);
            odd[q] = wasm_u16x8_shr(bytes, 8);
        }
        for (uint32_t c = 0; c < columns; c++) {
            v128_t x0 = wasm_v128_load32_splat(x[c].pairs + i), x1 = wasm_v128_load32_splat(x[c].pairs + 8 + i);
            for (uint32_t q = 0; q < quads; q++) {
                v128_t sum = wasm_i32x4_add(sums[q * columns + c], wasm_i32x4_dot_i16x8(even[q], x0));
                sums[q * columns + c] = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(odd[q], x1));
            }
        }
    }
}

TINI_INLINE void tini_wasm_dot_q4(v128_t *sums, const uint8_t *w, const tini_wasm_x *x, const uint32_t quads,
                                  const uint32_t columns) {
    for (uint32_t c = 0; c < columns; c++)
        for (uint32_t q = 0; q < quads; q++)
            sums[q * columns + c] = wasm_i16x8_splat((int16_t)x[c].start);
    for (uint32_t i = 0; i < 4; i++) {
        v128_t lanes[4];
        for (uint32_t q = 0; q < quads; q++)
            lanes[q] = wasm_v128_load(w + 64 * i + 16 * q);
        for (uint32_t k = 0; k < 4; k++) {
            v128_t shifted[4];
            for (uint32_t q = 0; q < quads; q++)
                shifted[q] = wasm_u16x8_shr(lanes[q], 4 * k);
            for (uint32_t c = 0; c < columns; c++) {
                v128_t y = wasm_v128_load32_splat(x[c].pairs + 4 * k + i);
                for (uint32_t q = 0; q < quads; q++)
                    sums[q * columns + c] =
                        wasm_i16x8_add(sums[q * columns + c], wasm_i16x8_mul(shifted[q], y));
            }
        }
    }
    for (uint32_t k = 0; k < quads * columns; k++)
        sums[k] = wasm_i32x4_extadd_pairwise_i16x8(sums[k]);
}

/* acc[columns][4] + this block's part of a tile's 16 outputs. */
TINI_INLINE void tini_wasm_add_block(v128_t *acc, const uint8_t *w, const tini_wasm_x *x,
                                     const uint32_t columns, const int format) {
    const uint32_t quads = columns == 1 ? 4 : 2;
    v128_t d[4], minimum[4];
    tini_wasm_halves(w, d);
    tini_wasm_halves(w + 16, d + 2);
    w += 2 * TINI_TILE;
    if (format == TINI_FORMAT_Q4_1) {
        tini_wasm_halves(w, minimum);
        tini_wasm_halves(w + 16, minimum + 2);
        w += 2 * TINI_TILE;
    }
    for (uint32_t first = 0; first < 4; first += quads) {
        v128_t sums[8];
        if (format == TINI_FORMAT_Q8_0)
            tini_wasm_dot_q8(sums, w + 16 * first, x, quads, columns);
        else
            tini_wasm_dot_q4(sums, w + 16 * first, x, quads, columns);
        for (uint32_t c = 0; c < columns; c++) {
            const v128_t scale = wasm_f32x4_splat(x[c].scale), total = wasm_f32x4_splat(x[c].total);
            for (uint32_t q = first; q < first + quads; q++) {
                v128_t sum = wasm_f32x4_convert_i32x4(sums[(q - first) * columns + c]);
                v128_t y = wasm_f32x4_add(acc[4 * c + q], wasm_f32x4_mul(sum, wasm_f32x4_mul(d[q], scale)));
                if (format == TINI_FORMAT_Q4_1)
                    y = wasm_f32x4_add(y, wasm_f32x4_mul(minimum[q], total));
                acc[4 * c + q] = y;
            }
        }
    }
}

/* `tiles` tiles by `columns` rows of x. */
TINI_INLINE void tini_wasm_patch(const tini_matmul *m, uint32_t tile, uint32_t tiles, uint32_t t,
                                 const uint32_t columns, const int format) {
    const uint32_t blocks = m->inputs / TINI_BLOCK;
    const size_t block_bytes = tini_wasm_block_bytes(format);
    v128_t acc[TINI_WASM_GROUP][4 * TINI_WASM_COLUMNS];
    tini_wasm_x x[TINI_WASM_STRIP][TINI_WASM_COLUMNS];
    for (uint32_t k = 0; k < tiles; k++)
        for (uint32_t c = 0; c < 4 * columns; c++)
            acc[k][c] = wasm_f32x4_const_splat(0.0f);
    for (uint32_t first = 0; first < blocks; first += TINI_WASM_STRIP) {
        uint32_t count = blocks - first < TINI_WASM_STRIP ? blocks - first : TINI_WASM_STRIP;
        for (uint32_t c = 0; c < columns; c++)
            for (uint32_t b = 0; b < count; b++)
                tini_wasm_prepare(&x[b][c], tini_row_q8(m, t + c) + first + b, format);
        for (uint32_t k = 0; k < tiles; k++) {
            const uint8_t *w = m->weights + ((size_t)(tile + k) * blocks + first) * block_bytes;
            for (uint32_t b = 0; b < count; b++, w += block_bytes)
                tini_wasm_add_block(acc[k], w, x[b], columns, format);
        }
    }
    for (uint32_t k = 0; k < tiles; k++)
        for (uint32_t c = 0; c < columns; c++)
            tini_wasm_store(m, tile + k, t + c, acc[k] + 4 * c);
}

TINI_INLINE void tini_wasm_matmul(const tini_matmul *m, uint32_t tile, uint32_t tile_end, const int format) {
    tile_end = tini_tile_limit(m, tile_end);
    for (uint32_t tiles; tile < tile_end; tile += tiles) {
        tiles = tile_end - tile < TINI_WASM_GROUP ? tile_end - tile : TINI_WASM_GROUP;
        uint32_t t = 0;
        for (; t + 4 <= m->rows; t += 4)
            tini_wasm_patch(m, tile, tiles, t, 4, format);
        for (; t + 2 <= m->rows; t += 2)
            tini_wasm_patch(m, tile, tiles, t, 2, format);
        if (t < m->rows)
            tini_wasm_patch(m, tile, tiles, t, 1, format);
    }
}

TINI_REGION_END

#endif
