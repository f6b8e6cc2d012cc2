/* Matmul with 8-bit activations on WebAssembly SIMD, which multiplies 16-bit lanes: a register of packed weights holds
 * four bytes of each of four rows, a quarter of a tile, or two 16-bit lanes L of each.
 *
 * Bits equal the scalar's, because every integer sum is exact and floats are one lane a row, as in the scalar loop.
 *
 *   bytes    8 bits: w + 128. The low byte of L by a mask and the high one by a shift go through i32x4.dot_i16x8_s; the sum starts at -128 times that of the activations.
 *   nibbles  q4: with the nibbles n0 .. n3 of L in order and their activations x0 .. x3, n0 x0 + n1 x1 + n2 x2 + n3 x3
 *            equals L y0 + (L >> 4) y1 + (L >> 8) y2 + (L >> 12) y3, where y0 = x0 and yk = xk - 16 x(k - 1): the
 *            shifted lanes need no masks. Multiplications wrap at 16 bits, which is exact as the lane's sum over a
 *            block fits: 16 products of at most 15 * 127 reach 30,480. q4_0 takes 4 times the sum of the block's 32
 *            activations off in each of a row's two lanes, which leaves at most 16 * 11 * 127 + 16 * 4 * 127 = 30,480.
 *   numbers  5, 6, 3 and 2 bits, and codes: put into bytes first. b0 x0 + b1 x1 = L y0 + (L >> 8) y1 with y0 = x0 and
 *            y1 = x1 - 256 x0, wrapping as above. A lane's sum starts at -offset times the sum of its own activations:
 *            16 * 16 * 127 for 5 bits, and 8 * 32 * 127 for the 16 inputs that share a scale of 6 bits, are 32,512.
 *
 * The activations' lanes, the same for all rows, are prepared once for a strip of blocks and a group of tiles; weights
 * are put into bytes once for all columns. */
#ifndef TINI_WASMSIMD_BLOCKS_H
#define TINI_WASMSIMD_BLOCKS_H

#include "../scalar/words.h"
#include "scales.h"

/* Blocks of activations prepared at once, of all columns, tiles that share them, and rows of x worked on together. */
enum { TINI_WASM_PREPARED = 64, TINI_WASM_GROUP = 8, TINI_WASM_COLUMNS = 8 };

/* A block of activations, as pairs of 16-bit ones.
 * bytes    words: even[8] of inputs 4i + {0, 2}, then odd[8] of 4i + {1, 3}
 * nibbles  y0 .. y3 of each i-th 64 bytes of a packed block, [4][4], each word over and over in a register
 * numbers  y0 and y1 of each 4 inputs, [8][2], likewise */
typedef struct tini_wasm_x {
    v128_t pairs[16];
    float scale, total; /* total = scale * sum */
    int32_t start
        [2]; /* of an integer sum, by halves of the block where they are apart: a lane or a pair of lanes */
    int32_t sum, halves; /* of the activations; of their two halves, a pair of lanes */
} tini_wasm_x;

/* Engines compute late what has no side effect, and load early: with many loads between two branches they run out of
 * registers. So a loop that loads many activations stays a loop. */
#define TINI_WASM_KEEP_LOOP TINI_PRAGMA(clang loop unroll(disable))
#define TINI_WASM_UNROLL TINI_PRAGMA(clang loop unroll(full))

TINI_REGION_WASMSIMD

/* x - 16 y */
TINI_INLINE v128_t tini_wasm_less16(v128_t x, v128_t y) {
    return wasm_i16x8_sub(x, wasm_i16x8_shl(y, 4));
}

/* The sum of four words, as pairs of 16-bit lanes. */
TINI_INLINE v128_t tini_wasm_pair_sum(v128_t x) {
    x = wasm_i16x8_add(x, wasm_i32x4_shuffle(x, x, 2, 3, 0, 1));
    return wasm_i16x8_add(x, wasm_i32x4_shuffle(x, x, 1, 0, 3, 2));
}

TINI_INLINE void tini_wasm_prepare(tini_wasm_x *out, const tini_q8 *x, const int format) {
    const tini_wasm_way way = tini_wasm_way_of(format);
    v128_t low = wasm_v128_load(x->q), high = wasm_v128_load(x->q + 16), words[4];
    v128_t low_even = tini_wasm_even(low), low_odd = tini_wasm_odd(low);
    v128_t high_even = tini_wasm_even(high), high_odd = tini_wasm_odd(high);
    out->scale = x->scale;
    out->total = x->scale * (float)x->sum;
    out->sum = x->sum;
    if (way == TINI_WASM_BYTES) {
        out->pairs[0] = low_even;
        out->pairs[1] = high_even;
        out->pairs[2] = low_odd;
        out->pairs[3] = high_odd;
        out->start[0] = (int32_t)(0u - 128u * (uint32_t)x->sum);
        if (tini_scales_by_half(format)) {
            v128_t head = tini_wasm_pair_sum(wasm_i16x8_add(low_even, low_odd));
            int32_t sum = wasm_i32x4_extract_lane(wasm_i32x4_extadd_pairwise_i16x8(head), 0);
            out->start[1] = (int32_t)((uint32_t)out->start[0] + 128u * (uint32_t)sum);
            out->start[0] = (int32_t)(0u - 128u * (uint32_t)sum);
        }
        return;
    }
    if (way == TINI_WASM_NIBBLES) {
        words[0] = low_even;
        words[1] = tini_wasm_less16(high_even, low_even);
        words[2] = tini_wasm_less16(low_odd, high_even);
        words[3] = tini_wasm_less16(high_odd, low_odd);
        out->start[0] =
            format == TINI_FORMAT_Q4_0 ? (int32_t)((0u - 4u * (uint32_t)x->sum & 0xffffu) * 0x10001u) : 0;
    } else {
        words[0] = low_even;
        words[1] = wasm_i16x8_sub(low_odd, wasm_i16x8_shl(low_even, 8));
        words[2] = high_even;
        words[3] = wasm_i16x8_sub(high_odd, wasm_i16x8_shl(high_even, 8));
        const v128_t less = wasm_i16x8_splat((int16_t)-tini_wasm_taken_off(format));
        v128_t first = tini_wasm_pair_sum(wasm_i16x8_add(low_even, low_odd));
        v128_t last = tini_wasm_pair_sum(wasm_i16x8_add(high_even, high_odd));
        if (way == TINI_WASM_NUMBERS) {
            out->start[0] = wasm_i32x4_extract_lane(wasm_i16x8_mul(wasm_i16x8_add(first, last), less), 0);
        } else {
            out->start[0] = wasm_i32x4_extract_lane(wasm_i16x8_mul(first, less), 0);
            out->start[1] = wasm_i32x4_extract_lane(wasm_i16x8_mul(last, less), 0);
            uint32_t sum = (uint32_t)wasm_i32x4_extract_lane(wasm_i32x4_extadd_pairwise_i16x8(first), 0);
            out->halves = (int32_t)((sum & 0xffffu) | ((uint32_t)x->sum - sum) << 16);
        }
    }
    /* Nibbles: word i of all four is for the i-th of four. Numbers: of the first two, of the last two. */
    const uint32_t stride = way == TINI_WASM_NIBBLES ? 4 : 2;
    for (uint32_t k = 0; k < 4; k++) {
        v128_t *to = out->pairs + (stride == 4 ? k : k % 2 + k / 2 * 8);
        to[0] = wasm_i32x4_shuffle(words[k], words[k], 0, 0, 0, 0);
        to[stride] = wasm_i32x4_shuffle(words[k], words[k], 1, 1, 1, 1);
        to[2 * stride] = wasm_i32x4_shuffle(words[k], words[k], 2, 2, 2, 2);
        to[3 * stride] = wasm_i32x4_shuffle(words[k], words[k], 3, 3, 3, 3);
    }
}

/* sums[quads][columns]: 32-bit sums by `quads` times four rows, of the groups [begin, end) of 4 inputs; half: whose start they
 * have. */
TINI_INLINE void tini_wasm_dot_bytes(v128_t *sums, const uint8_t *w, const tini_wasm_x *x, uint32_t begin,
                                     uint32_t end, const uint32_t half, const uint32_t quads,
                                     const uint32_t columns) {
    const v128_t byte = wasm_i16x8_const_splat(0xff);
    for (uint32_t c = 0; c < columns; c++)
        for (uint32_t q = 0; q < quads; q++)
            sums[q * columns + c] = wasm_i32x4_splat(x[c].start[half]);
    for (uint32_t i = begin; i < end; i++) {
        v128_t even[4], odd[4];
        for (uint32_t q = 0; q < quads; q++) {
            v128_t bytes = wasm_v128_load(w + 64 * i + 16 * q);
            even[q] = wasm_v128_and(bytes, byte);
            odd[q] = wasm_u16x8_shr(bytes, 8);
        }
        for (uint32_t c = 0; c < columns; c++) {
            const int32_t *words = (const int32_t *)(const void *)x[c].pairs + i;
            v128_t x0 = wasm_v128_load32_splat(words), x1 = wasm_v128_load32_splat(words + 8);
            for (uint32_t q = 0; q < quads; q++) {
                v128_t sum = wasm_i32x4_add(sums[q * columns + c], wasm_i32x4_dot_i16x8(even[q], x0));
                sums[q * columns + c] = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(odd[q], x1));
            }
        }
    }
}

/* One of y0 .. y3 by the lanes of each quad, which are then shifted for the next. */
TINI_INLINE void tini_wasm_step_nibbles(v128_t *sums, v128_t *lanes, const tini_wasm_x *x, uint32_t at,
                                        const uint32_t quads, const uint32_t columns) {
    for (uint32_t c = 0; c < columns; c++) {
        const v128_t y = x[c].pairs[at];
        for (uint32_t q = 0; q < quads; q++)
            sums[q * columns + c] = wasm_i16x8_add(sums[q * columns + c], wasm_i16x8_mul(lanes[q], y));
    }
    for (uint32_t q = 0; q < quads; q++)
        lanes[q] = wasm_u16x8_shr(lanes[q], 4);
}

TINI_INLINE void tini_wasm_dot_nibbles(v128_t *sums, const uint8_t *w, const tini_wasm_x *x,
                                       const uint32_t quads, const uint32_t columns) {
    for (uint32_t c = 0; c < columns; c++)
        for (uint32_t q = 0; q < quads; q++)
            sums[q * columns + c] = wasm_i32x4_splat(x[c].start[0]);
    TINI_WASM_KEEP_LOOP
    for (uint32_t i = 0; i < 4; i++) {
        v128_t lanes[4];
        for (uint32_t q = 0; q < quads; q++)
            lanes[q] = wasm_v128_load(w + 64 * i + 16 * q);
        if (columns == 1) {
            TINI_WASM_UNROLL
            for (uint32_t k = 0; k < 4; k++)
                tini_wasm_step_nibbles(sums, lanes, x, 4 * i + k, quads, columns);
        } else {
            TINI_WASM_KEEP_LOOP
            for (uint32_t k = 0; k < 4; k++)
                tini_wasm_step_nibbles(sums, lanes, x, 4 * i + k, quads, columns);
        }
    }
    TINI_WASM_UNROLL
    for (uint32_t k = 0; k < quads * columns; k++)
        sums[k] = wasm_i32x4_extadd_pairwise_i16x8(sums[k]);
}

/* sums: in 16-bit lanes, two a row, of the groups [begin, end) of 4 inputs; half: whose start they have. */
TINI_INLINE void tini_wasm_dot_numbers(v128_t *sums, const uint8_t *w, const tini_wasm_x *x, uint32_t begin,
                                       uint32_t end, const uint32_t half, const uint32_t quads,
                                       const uint32_t columns) {
    for (uint32_t c = 0; c < columns; c++)
        for (uint32_t q = 0; q < quads; q++)
            sums[q * columns + c] = wasm_i32x4_splat(x[c].start[half]);
    TINI_WASM_KEEP_LOOP
    for (uint32_t g = begin; g < end; g++) {
        v128_t lanes[4], shifted[4];
        for (uint32_t q = 0; q < quads; q++) {
            lanes[q] = wasm_v128_load(w + 64 * g + 16 * q);
            shifted[q] = wasm_u16x8_shr(lanes[q], 8);
        }
        for (uint32_t c = 0; c < columns; c++) {
            const v128_t y0 = x[c].pairs[2 * g], y1 = x[c].pairs[2 * g + 1];
            for (uint32_t q = 0; q < quads; q++) {
                v128_t *sum = sums + q * columns + c;
                *sum = wasm_i16x8_add(*sum, wasm_i16x8_mul(lanes[q], y0));
                *sum = wasm_i16x8_add(*sum, wasm_i16x8_mul(shifted[q], y1));
            }
        }
    }
}

/* The exact integer of each row that the sub-block's scales multiply: sums[quads][columns], int32. */
TINI_INLINE void tini_wasm_dot(v128_t *sums, const uint8_t *w, const tini_wasm_x *x, const tini_wasm_scales *s,
                               uint32_t first, const uint32_t quads, const uint32_t columns, const int format) {
    const tini_wasm_way way = tini_wasm_way_of(format);
    if (way == TINI_WASM_BYTES && tini_scales_by_half(format)) {
        v128_t last[8];
        tini_wasm_dot_bytes(sums, w, x, 0, 4, 0, quads, columns);
        tini_wasm_dot_bytes(last, w, x, 4, 8, 1, quads, columns);
        TINI_WASM_UNROLL
        for (uint32_t k = 0; k < quads * columns; k++) {
            uint32_t q = first + k / columns; /* a scale is twice in 32 bits */
            sums[k] = wasm_i32x4_add(wasm_i32x4_mul(sums[k], wasm_i32x4_shr(s->first[q], 16)),
                                     wasm_i32x4_mul(last[k], wasm_i32x4_shr(s->last[q], 16)));
        }
    } else if (way == TINI_WASM_BYTES) {
        tini_wasm_dot_bytes(sums, w, x, 0, 8, 0, quads, columns);
    } else if (way == TINI_WASM_NIBBLES) {
        tini_wasm_dot_nibbles(sums, w, x, quads, columns);
    } else if (way == TINI_WASM_NUMBERS) {
        const uint32_t back = (uint32_t)(tini_wasm_taken_off(format) - tini_kind_of(format).offset);
        tini_wasm_dot_numbers(sums, w, x, 0, 8, 0, quads, columns);
        TINI_WASM_UNROLL
        for (uint32_t k = 0; k < quads * columns; k++) {
            sums[k] = wasm_i32x4_extadd_pairwise_i16x8(sums[k]);
            if (back) /* more was taken off than the format's offset */
                sums[k] =
                    wasm_i32x4_add(sums[k], wasm_i32x4_splat((int32_t)(back * (uint32_t)x[k % columns].sum)));
        }
    } else {
        v128_t last[4];
        tini_wasm_dot_numbers(sums, w, x, 0, 4, 0, quads, columns);
        tini_wasm_dot_numbers(last, w, x, 4, 8, 1, quads, columns);
        TINI_WASM_UNROLL
        for (uint32_t k = 0; k < quads * columns; k++) {
            uint32_t q = first + k / columns;
            sums[k] = wasm_i32x4_add(wasm_i32x4_dot_i16x8(sums[k], s->first[q]),
                                     wasm_i32x4_dot_i16x8(last[k], s->last[q]));
        }
    }
}

/* y + a sub-block's part, for four rows. */
TINI_INLINE v128_t tini_wasm_add(v128_t y, v128_t sum, const tini_wasm_x *x, const tini_wasm_scales *s,
                                 uint32_t q, const int format) {
    const v128_t scale = wasm_f32x4_splat(x->scale);
    sum = wasm_f32x4_convert_i32x4(sum);
    if (format == TINI_FORMAT_Q2_K) {
        v128_t total =
            wasm_f32x4_convert_i32x4(wasm_i32x4_dot_i16x8(s->minimums[q], wasm_i32x4_splat(x->halves)));
        v128_t part = wasm_f32x4_sub(wasm_f32x4_mul(s->d[q], sum), wasm_f32x4_mul(s->minimum[q], total));
        return wasm_f32x4_add(y, wasm_f32x4_mul(part, scale));
    }
    y = wasm_f32x4_add(y, wasm_f32x4_mul(sum, wasm_f32x4_mul(s->d[q], scale)));
    if (format == TINI_FORMAT_Q4_1 || format == TINI_FORMAT_Q5_1)
        y = wasm_f32x4_add(y, wasm_f32x4_mul(s->minimum[q], wasm_f32x4_splat(x->total)));
    if (format == TINI_FORMAT_Q4_K || format == TINI_FORMAT_Q5_K)
        y = wasm_f32x4_sub(y, wasm_f32x4_mul(s->minimum[q], wasm_f32x4_splat(x->total)));
    return y;
}

/* acc[columns][4] + the sub-block's part of a tile's 16 outputs; `width` columns at once, of which `columns` is a
 * multiple. w: the planes. */
TINI_INLINE void tini_wasm_add_block(v128_t *acc, const uint8_t *w, const tini_wasm_scales *s,
                                     const tini_wasm_x *x, uint32_t columns, const uint32_t width,
                                     const int format) {
    const uint32_t quads = width == 1 ? 4 : 2;
    uint8_t bytes[8 * 64];
    if (tini_wasm_unpacks(format)) {
        tini_wasm_unpack(bytes, w, format);
        w = bytes;
    }
    for (uint32_t first = 0; first < 4; first += quads) {
        TINI_WASM_KEEP_LOOP
        for (uint32_t at = 0; at < columns; at += width) {
            v128_t sums[8];
            tini_wasm_dot(sums, w + 16 * first, x + at, s, first, quads, width, format);
            TINI_WASM_UNROLL
            for (uint32_t k = 0; k < quads * width; k++) {
                uint32_t q = first + k / width, c = at + k % width;
                acc[4 * c + q] = tini_wasm_add(acc[4 * c + q], sums[k], x + c, s, q, format);
            }
        }
    }
}

/* `tiles` tiles by `columns` rows of x. */
TINI_INLINE void tini_wasm_patch(const tini_matmul *m, uint32_t tile, uint32_t tiles, uint32_t t,
                                 uint32_t columns, const uint32_t width, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const uint32_t blocks = m->inputs / kind.inputs, subs = kind.inputs / TINI_BLOCK;
    /* Packed blocks a strip: few columns take long ones, so that weights are read in the order of memory. */
    const uint32_t step = TINI_WASM_PREPARED / columns / 8 * 8 / subs;
    const size_t block_bytes = TINI_TILE * tini_kind_bytes(&kind),
                 header = TINI_TILE * (kind.halves + kind.scales);
    const size_t sub_bytes = 64 * (kind.low + kind.high);
    v128_t acc[TINI_WASM_GROUP][4 * TINI_WASM_COLUMNS];
    tini_wasm_x x[TINI_WASM_PREPARED];
    for (uint32_t k = 0; k < tiles; k++)
        for (uint32_t c = 0; c < 4 * columns; c++)
            acc[k][c] = wasm_f32x4_const_splat(0.0f);
    for (uint32_t first = 0; first < blocks; first += step) {
        uint32_t count = blocks - first < step ? blocks - first : step;
        for (uint32_t c = 0; c < columns; c++)
            for (uint32_t b = 0; b < count * subs; b++)
                tini_wasm_prepare(&x[b * columns + c], tini_row_q8(m, t + c) + first * subs + b, format);
        for (uint32_t k = 0; k < tiles; k++) {
            const uint8_t *w = m->weights + ((size_t)(tile + k) * blocks + first) * block_bytes;
            for (uint32_t b = 0; b < count; b++, w += block_bytes) {
                for (uint32_t sub = 0; sub < subs; sub++) {
                    tini_wasm_scales s;
                    tini_wasm_read_scales(&s, w, sub, format);
                    tini_wasm_add_block(acc[k], w + header + sub * sub_bytes, &s,
                                        x + (b * subs + sub) * columns, columns, width, format);
                }
            }
        }
    }
    for (uint32_t k = 0; k < tiles; k++)
        for (uint32_t c = 0; c < columns; c++)
            tini_wasm_store(m, tile + k, t + c, acc[k] + 4 * c);
}

TINI_NOINLINE void tini_wasm_matmul_wide(const tini_matmul *m, uint32_t tile, uint32_t tile_end);

TINI_INLINE void tini_wasm_matmul_q8(const tini_matmul *m, uint32_t tile, uint32_t tile_end, const int format) {
    if (tini_kind_of(format).words) {
        tini_words_matmul(m, tile, tile_end, format, tini_widen, tini_wasm_matmul_wide);
        return;
    }
    const tini_wasm_way way = tini_wasm_way_of(format);
    const uint32_t width = format == TINI_FORMAT_WIDE                           ? 1
                           : way == TINI_WASM_BYTES || way == TINI_WASM_NIBBLES ? 4
                                                                                : 2;
    tile_end = tini_tile_limit(m, tile_end);
    for (uint32_t tiles; tile < tile_end; tile += tiles) {
        tiles = tile_end - tile < TINI_WASM_GROUP ? tile_end - tile : TINI_WASM_GROUP;
        for (uint32_t t = 0, columns; t < m->rows; t += columns) {
            columns = m->rows - t < TINI_WASM_COLUMNS ? m->rows - t : TINI_WASM_COLUMNS;
            if (width == 1 || columns >= width) {
                columns -= columns % width;
                tini_wasm_patch(m, tile, tiles, t, columns, width, format);
            } else {
                tini_wasm_patch(m, tile, tiles, t, columns, 1, format);
            }
        }
    }
}

TINI_NOINLINE void tini_wasm_matmul_wide(const tini_matmul *m, uint32_t tile, uint32_t tile_end) {
    tini_wasm_matmul_q8(m, tile, tile_end, TINI_FORMAT_WIDE);
}

TINI_REGION_END

#endif
