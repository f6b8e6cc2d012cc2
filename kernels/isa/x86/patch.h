/* Matmul with 8-bit activations: the one loop of all x86 sets, included by each one's blocks.h with its vocabulary.
 *
 * TINI_SET(name)   a name of the set: types ints, floats, sums; functions as called below
 * TINI_PARTS       registers that hold a tile's 16 rows, four inputs each
 * TINI_TILES       tiles that a patch of four columns takes
 * TINI_BEGINS      1 where sums begin with what the offset takes off, and functions begin with `begin`
 * TINI_WORDS       with TINI_LOOK_UP, what words_lanes.h asks for, for the rows of a register
 * TINI_LEAST       rows of x for which it pays, with columns that count for nothing in the place of the others
 *
 * Bits equal the scalar's: integer sums are exact in any order (see the set for its dot product), and floats are one
 * lane a row with the scalar's operations in its order. An offset comes off as offset * (the activations' sum). Small
 * scales multiply integers where each half of a sub-block has its own. */

#define TINI_WORDS_OF(name) TINI_SET(name)
#include "../../core/base/words_lanes.h"
#undef TINI_WORDS_OF

enum { TINI_SET(panels) = 8 };
#define TINI_PANELS TINI_SET(panels)
#define TINI_INTS TINI_SET(ints)
#define TINI_FLOATS TINI_SET(floats)

/* What finishes a sub-block's sums for one register of rows. */
typedef struct TINI_SET(scales) {
    TINI_FLOATS d, minimum; /* of the format, or of the sub-block */
    TINI_INTS first, last;  /* scales of the halves */
    TINI_INTS pair;         /* what multiplies the halves' sums of activations */
} TINI_SET(scales);

/* Inputs 4i .. 4i + 3 of each row, of the sub-block whose planes begin at p. */
TINI_INLINE TINI_INTS TINI_SET(four)(const uint8_t *p, const uint32_t i, const int format) {
    const tini_kind kind = tini_kind_of(format);
    if (kind.low == 8)
        return TINI_SET(eight_bits)(TINI_SET(load)(p + 64 * i));
    const int low = (int)kind.low, high = (int)kind.high;
    TINI_INTS w = TINI_SET(load)(p + 64 * (high + (int)i % low));
    w = TINI_SET(mask)(TINI_SET(right)(w, (int)i / low * low), TINI_SET(spread_byte)((1 << low) - 1));
    if (high) {
        TINI_INTS plane = TINI_SET(load)(p + 64 * ((int)i % high));
        plane = TINI_SET(right)(plane, (int)i / high * high - low);
        w = TINI_SET(or_and)(w, plane, TINI_SET(spread_byte)(((1 << high) - 1) << low));
    }
    return kind.codes ? TINI_SET(values)(w, kind.codes) : w;
}

/* The scales of sub-block s. head: the tile's block; part: which register of the tile. */
TINI_INLINE TINI_SET(scales) TINI_SET(load_scales)(const uint8_t *head, const tini_small *small, uint32_t s,
                                                   const uint32_t part, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const uint32_t rows = TINI_TILE / TINI_PARTS;
    TINI_SET(scales) f;
    f.d = TINI_SET(halves)(head + 2 * rows * part);
    if (tini_unit(format) != 1.0f)
        f.d = TINI_SET(times)(f.d, TINI_SET(spread_f32)(tini_unit(format)));
    f.first = f.last = f.pair = TINI_SET(spread_i32)(0);
    f.minimum = TINI_SET(spread_f32)(0.0f);
    if (kind.halves == 4)
        f.minimum = TINI_SET(halves)(head + 2 * TINI_TILE + 2 * rows * part);
    if (tini_scales_by_half(format)) {
        const int8_t *first = small->scale[2 * s] + rows * part, *last = small->scale[2 * s + 1] + rows * part;
        f.first = TINI_SET(scale)(first);
        f.last = TINI_SET(scale)(last);
        f.pair = format == TINI_FORMAT_Q2_K ? TINI_SET(pairs)(small->minimum[2 * s] + rows * part,
                                                              small->minimum[2 * s + 1] + rows * part, 1)
                                            : TINI_SET(pairs)(first, last, -TINI_SET(offset)(format));
    } else if (kind.scales || kind.words) {
        f.d = TINI_SET(times)(f.d, TINI_SET(small_floats)(small->scale[s] + rows * part));
        if (kind.halves == 4) /* y - m * t is y + (-m) * t, bit for bit. */
            f.minimum = TINI_SET(times)(TINI_SET(negative)(f.minimum),
                                        TINI_SET(small_floats)(small->minimum[s] + rows * part));
    }
    return f;
}

/* acc + a sub-block's part of the outputs of one row of x. */
TINI_INLINE TINI_FLOATS TINI_SET(add_block)(TINI_FLOATS acc, TINI_INTS sum, const TINI_SET(scales) * f,
                                            TINI_INTS sums, const tini_q8 *x, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const int offset = TINI_SET(offset)(format);
    TINI_FLOATS scale = TINI_SET(spread_f32)(x->scale);
    if (format == TINI_FORMAT_Q2_K) {
        TINI_FLOATS total = TINI_SET(to_floats)(TINI_SET(multiply_pairs)(f->pair, sums));
        TINI_FLOATS y = TINI_SET(times)(f->d, TINI_SET(to_floats)(sum));
        return TINI_SET(plus)(acc,
                              TINI_SET(times)(TINI_SET(minus)(y, TINI_SET(times)(f->minimum, total)), scale));
    }
    if (tini_scales_by_half(format))
        sum = TINI_SET(add)(sum, TINI_SET(multiply_pairs)(f->pair, sums));
    else if (offset && !TINI_BEGINS)
        sum = TINI_SET(subtract)(sum, TINI_SET(times_power)(sums, offset));
    acc = TINI_SET(plus)(acc, TINI_SET(times)(TINI_SET(to_floats)(sum), TINI_SET(times)(f->d, scale)));
    if (kind.halves == 4)
        acc =
            TINI_SET(plus)(acc, TINI_SET(times)(f->minimum, TINI_SET(times)(scale, TINI_SET(to_floats)(sums))));
    return acc;
}

/* tini_widen (core/base/words.h), a register's rows at a time. */
TINI_INLINE void TINI_SET(widen)(uint8_t *w, int8_t scale[2][TINI_TILE], const uint8_t *words, uint32_t s,
                                 const int format) {
    const uint32_t bytes = 64 / TINI_PARTS, rows = TINI_TILE / TINI_PARTS;
    for (uint32_t part = 0; part < TINI_PARTS; part++, w += bytes, words += bytes) {
        TINI_UNROLL for (uint32_t h = 0; h < 4; h++) {
            TINI_WORDS pair[2];
            TINI_SET(pair)(pair, words, 64, s, h, format);
            memcpy(w + 128 * h, &pair[0], bytes);
            memcpy(w + 128 * h + 64, &pair[1], bytes);
        }
        for (uint32_t half = 0; half < 2; half++) {
            const TINI_WORDS small = TINI_SET(words_scale)(words, 64, s, half, format);
            for (uint32_t k = 0; k < rows; k++)
                scale[half][rows * part + k] = (int8_t)small[k];
        }
    }
}

TINI_INLINE void TINI_SET(widen_block)(uint8_t *w, tini_small *small, const uint8_t *words, uint32_t s,
                                       const int format) {
    const uint32_t scales = tini_scales_by_half(format) ? 2 : 1;
    int8_t scale[2][TINI_TILE];
    TINI_SET(widen)(w, scale, words, s, format);
    memcpy(small->scale[scales * s], scale, scales * sizeof scale[0]);
}

/* Stores the outputs of `columns` rows of x. */
TINI_INLINE void TINI_SET(finish)(const tini_matmul *m, uint32_t tile, uint32_t t, TINI_FLOATS acc[4][4],
                                  const uint32_t registers, const uint32_t columns) {
    TINI_FLOATS y[16]; /* in memory, for a loop that is not unrolled */
    TINI_UNROLL for (uint32_t c = 0; c < columns; c++) TINI_UNROLL for (uint32_t k = 0; k < registers; k++)
        y[c * registers + k] = acc[k][c];
    TINI_SET(store)(m, tile * TINI_PARTS, t, y, registers, m->rows - t < columns ? m->rows - t : columns);
}

/* A sub-block: of each register of rows its scales, of each tile its planes. x: moved on to the next. */
TINI_INLINE void TINI_SET(add_sub_block)(TINI_FLOATS acc[4][4], const uint8_t *const planes[2],
                                         const TINI_SET(scales) f[4], const tini_q8 *x[4],
                                         const uint32_t registers, const uint32_t columns, const int format) {
    TINI_SET(sums) sum[4][4];
    if (TINI_BEGINS) {
        const uint32_t offset = tini_scales_by_half(format) ? 0 : (uint32_t)TINI_SET(offset)(format);
        TINI_UNROLL for (uint32_t c = 0; c < columns; c++) TINI_UNROLL for (uint32_t k = 0; k < registers; k++)
            TINI_SET(begin)(&sum[k][c], (int32_t)(0u - offset * (uint32_t)x[c]->sum));
    }
    TINI_UNROLL for (uint32_t i = 0; i < 8; i++) {
        /* Both nibbles of a byte one after the other, unless halves are summed apart. */
        const uint32_t j = tini_scales_by_half(format) ? i : i / 2 + i % 2 * 4;
        TINI_INTS four[4];
        TINI_UNROLL for (uint32_t k = 0; k < registers; k++) four[k] =
            TINI_SET(four)(planes[k / TINI_PARTS] + 64 / TINI_PARTS * (k % TINI_PARTS), j, format);
        TINI_UNROLL for (uint32_t c = 0; c < columns; c++) {
            int32_t q;
            memcpy(&q, x[c]->q + 4 * j, 4);
            TINI_UNROLL for (uint32_t k = 0; k < registers; k++) TINI_SET(dot)(
                &sum[k][c], four[k], TINI_SET(spread_i32)(q), i, j < 4 ? f[k].first : f[k].last, format);
        }
    }
    TINI_UNROLL for (uint32_t c = 0; c < columns; c++) {
        TINI_INTS
        sums = tini_scales_by_half(format) ? TINI_SET(spread_first)(tini_avx2_half_sums(x[c]->q))
                                           : TINI_SET(spread_i32)(x[c]->sum);
        TINI_UNROLL for (uint32_t k = 0; k < registers; k++) acc[k][c] =
            TINI_SET(add_block)(acc[k][c], TINI_SET(dot_total)(&sum[k][c], f[k].first, f[k].last, format),
                                &f[k], sums, x[c], format);
        x[c]++;
    }
}

/* `tiles` tiles by `columns` rows of x, in step: enough chains of sums to hide a product's latency. Each weight is
 * loaded and unpacked once for all columns, each activation broadcast once for all registers. */
TINI_INLINE void TINI_SET(patch)(const tini_matmul *m, uint32_t tile, uint32_t t, const uint32_t tiles,
                                 const uint32_t columns, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const uint32_t registers = tiles * TINI_PARTS, subs = kind.inputs / TINI_BLOCK,
                   blocks = m->inputs / kind.inputs;
    const size_t block_bytes = TINI_TILE * tini_kind_bytes(&kind), tile_bytes = blocks * block_bytes;
    const size_t head_bytes = TINI_TILE * (kind.halves + kind.scales),
                 sub_bytes = (block_bytes - head_bytes) / subs;
    /* Blocks that memory is asked for ahead of use, on into the next tiles: the hardware's own guesses lose their way
     * among a super-block's parts, and between two tiles. */
    const uint32_t far = (4095 + (uint32_t)block_bytes) / (uint32_t)block_bytes;
    const uint8_t *w = m->weights + tile * tile_bytes;
    const tini_q8 *x[4];
    TINI_FLOATS acc[4][4];
    TINI_UNROLL for (uint32_t c = 0; c < columns; c++) {
        x[c] = tini_row_q8(m, t + c < m->rows ? t + c : t);
        TINI_UNROLL for (uint32_t k = 0; k < registers; k++) acc[k][c] = TINI_SET(spread_f32)(0.0f);
    }
    for (uint32_t b = 0; b < blocks; b++, w += block_bytes) {
        tini_small small[2];
        for (uint32_t k = 0; k < (kind.scales ? tiles : 0); k++)
            tini_avx2_small(&small[k], w + k * tile_bytes + TINI_TILE * kind.halves, format);
        const uint8_t *p = w + head_bytes;
        const size_t ahead = far * block_bytes + (b + far < blocks ? 0 : (tiles - 1) * tile_bytes);
        for (uint32_t k = 0; k < (t ? 0 : tiles); k++)
            tini_fetch(w + k * tile_bytes + ahead, head_bytes);
        for (uint32_t s = 0; s < subs; s++, p += sub_bytes) {
            TINI_SET(scales) f[4];
            const uint8_t *planes[2];
            uint8_t wide[2][64 * 8];
            TINI_UNROLL for (uint32_t k = 0; k < tiles; k++) planes[k] = p + k * tile_bytes;
            for (uint32_t k = 0; k < (kind.words ? tiles : 0); k++) {
                TINI_SET(widen_block)(wide[k], &small[k], w + k * tile_bytes + head_bytes, s, format);
                planes[k] = wide[k];
            }
            TINI_UNROLL for (uint32_t k = 0; k < registers; k++) f[k] = TINI_SET(load_scales)(
                w + k / TINI_PARTS * tile_bytes, &small[k / TINI_PARTS], s, k % TINI_PARTS, format);
            for (uint32_t k = 0; k < (t ? 0 : tiles); k++)
                tini_fetch(p + k * tile_bytes + ahead, sub_bytes);
            TINI_SET(add_sub_block)(acc, planes, f, x, registers, columns, format);
        }
    }
    TINI_SET(finish)(m, tile, t, acc, registers, columns);
}

/* A tile by `panels` times four rows of x, of a format of words: each block is widened once for all. */
TINI_INLINE void TINI_SET(widened_patch)(const tini_matmul *m, uint32_t tile, uint32_t t, uint32_t panels,
                                         const int format) {
    const tini_kind kind = tini_kind_of(format);
    const uint32_t blocks = m->inputs / kind.inputs, subs = kind.inputs / TINI_BLOCK;
    const size_t block_bytes = TINI_TILE * tini_kind_bytes(&kind);
    const uint8_t *w = m->weights + tile * blocks * block_bytes;
    TINI_FLOATS acc[TINI_PANELS][4][4];
    for (uint32_t p = 0; p < panels; p++)
        TINI_UNROLL for (uint32_t c = 0; c < 4; c++) TINI_UNROLL for (uint32_t k = 0; k < TINI_PARTS; k++)
            acc[p][k][c] = TINI_SET(spread_f32)(0.0f);
    for (uint32_t b = 0; b < blocks; b++, w += block_bytes) {
        uint8_t wide[8][64 * 8];
        tini_small small;
        for (uint32_t s = 0; s < subs; s++)
            TINI_SET(widen_block)(wide[s], &small, w + TINI_TILE * kind.halves, s, format);
        for (uint32_t p = 0; p < panels; p++) {
            const tini_q8 *x[4];
            for (uint32_t c = 0; c < 4; c++)
                x[c] = tini_row_q8(m, t + 4 * p + c < m->rows ? t + 4 * p + c : t) + b * subs;
            TINI_FLOATS sums[4][4];
            TINI_UNROLL for (uint32_t c = 0; c < 4; c++) TINI_UNROLL for (uint32_t k = 0; k < TINI_PARTS; k++)
                sums[k][c] = acc[p][k][c];
            for (uint32_t s = 0; s < subs; s++) {
                const uint8_t *const planes[2] = {wide[s], NULL};
                TINI_SET(scales) f[4];
                TINI_UNROLL for (uint32_t k = 0; k < TINI_PARTS; k++) f[k] =
                    TINI_SET(load_scales)(w, &small, s, k, format);
                TINI_SET(add_sub_block)(sums, planes, f, x, TINI_PARTS, 4, format);
            }
            TINI_UNROLL for (uint32_t c = 0; c < 4; c++) TINI_UNROLL for (uint32_t k = 0; k < TINI_PARTS; k++)
                acc[p][k][c] = sums[k][c];
        }
    }
    for (uint32_t p = 0; p < panels; p++)
        TINI_SET(finish)(m, tile, t + 4 * p, acc[p], TINI_PARTS, 4);
}

TINI_INLINE void TINI_SET(matmul_widened)(const tini_matmul *m, uint32_t tile, uint32_t tile_end,
                                          const int format) {
    for (; tile < tile_end; tile++) {
        uint32_t t = 0;
        for (uint32_t panels; t + TINI_LEAST <= m->rows; t += 4 * panels) {
            panels = (m->rows - t + 4 - TINI_LEAST) / 4;
            panels = panels < TINI_PANELS ? panels : TINI_PANELS;
            TINI_SET(widened_patch)(m, tile, t, panels, format);
        }
        for (; t < m->rows; t++)
            TINI_SET(patch)(m, tile, t, 1, 1, format);
    }
}

TINI_INLINE void TINI_SET(matmul_q8)(const tini_matmul *m, uint32_t tile, uint32_t tile_end, const int format) {
    tile_end = tini_tile_limit(m, tile_end);
    if (tini_kind_of(format).words) {
        TINI_SET(matmul_widened)(m, tile, tile_end, format);
        return;
    }
    while (tile < tile_end) {
        const uint32_t tiles = m->rows >= TINI_LEAST && tile + TINI_TILES <= tile_end ? TINI_TILES : 1;
        uint32_t t = 0;
        for (; t + TINI_LEAST <= m->rows; t += 4) {
            if (tiles == TINI_TILES)
                TINI_SET(patch)(m, tile, t, TINI_TILES, 4, format);
            else
                TINI_SET(patch)(m, tile, t, 1, 4, format);
        }
        for (; t < m->rows; t++)
            for (uint32_t k = 0; k < tiles; k++)
                TINI_SET(patch)(m, tile + k, t, 1, 1, format);
        tile += tiles;
    }
}

#undef TINI_INTS
#undef TINI_PANELS
#undef TINI_FLOATS
