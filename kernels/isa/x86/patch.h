/* Matmul with 8-bit activations: the one loop of all x86 sets, included by each one's blocks.h with its vocabulary.
 *
 * TINI_SET(name)   a name of the set: type sums; functions as called below
 * TINI_VECTOR      as TINI_SET, of what its vectors do: types ints, floats; another set's where that does the same
 * TINI_PARTS       registers that hold a tile's 16 rows, four inputs each
 * TINI_TILES       tiles that a patch of four columns takes
 * TINI_BEGINS      1 where sums begin with what the offset takes off, and functions begin with `begin`
 * TINI_WIDEN       widens for it (core/base/words.h), unless the set leaves formats of words to its parent
 * TINI_EVENS       with that: 1 where it gains by a loop for TINI_FORMAT_EVEN
 * TINI_TWO_BLOCKS  computes whole tiles of Q8_0 of 64 inputs for some rows, if the set gains by it
 * TINI_LEAST       rows of x for which it pays, with columns that count for nothing in the place of the others
 *
 * Bits equal the scalar's: integer sums are exact in any order (see the set for its dot product), and floats are one
 * lane a row with the scalar's operations in its order. An offset comes off as offset * (the activations' sum). Small
 * scales multiply integers where each half of a sub-block has its own. */

#define TINI_INTS TINI_VECTOR(ints)
#define TINI_FLOATS TINI_VECTOR(floats)

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
        return TINI_SET(eight_bits)(TINI_VECTOR(load)(p + 64 * i));
    const int low = (int)kind.low, high = (int)kind.high;
    TINI_INTS w = TINI_VECTOR(load)(p + 64 * (high + (int)i % low));
    w = TINI_VECTOR(mask)(TINI_VECTOR(right)(w, (int)i / low * low), TINI_VECTOR(spread_byte)((1 << low) - 1));
    if (high) {
        TINI_INTS plane = TINI_VECTOR(load)(p + 64 * ((int)i % high));
        plane = TINI_VECTOR(right)(plane, (int)i / high * high - low);
        w = TINI_VECTOR(or_and)(w, plane, TINI_VECTOR(spread_byte)(((1 << high) - 1) << low));
    }
    return kind.codes ? TINI_SET(numbers)(w, &kind) : w;
}

/* The scales of sub-block s. head: the tile's block; part: which register of the tile. */
TINI_INLINE TINI_SET(scales) TINI_SET(load_scales)(const uint8_t *head, const tini_small *small, uint32_t s,
                                                   const uint32_t part, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const uint32_t rows = TINI_TILE / TINI_PARTS;
    TINI_SET(scales) f;
    f.d = TINI_VECTOR(halves)(head + 2 * rows * part);
    f.first = f.last = f.pair = TINI_VECTOR(spread_i32)(0);
    f.minimum = TINI_VECTOR(spread_f32)(0.0f);
    if (kind.halves == 4)
        f.minimum = TINI_VECTOR(halves)(head + 2 * TINI_TILE + 2 * rows * part);
    if (tini_scales_by_half(format)) {
        const int8_t *first = small->scale[2 * s] + rows * part, *last = small->scale[2 * s + 1] + rows * part;
        f.first = TINI_SET(scale)(first);
        f.last = TINI_SET(scale)(last);
        f.pair = format == TINI_FORMAT_Q2_K ? TINI_VECTOR(pairs)(small->minimum[2 * s] + rows * part,
                                                                 small->minimum[2 * s + 1] + rows * part, 1)
                                            : TINI_VECTOR(pairs)(first, last, -TINI_SET(offset)(format));
    } else if (format == TINI_FORMAT_EVEN) {
        f.first = f.last = TINI_SET(scale)(small->scale[2 * s] + rows * part);
    } else if (kind.scales) {
        f.d = TINI_VECTOR(times)(f.d, TINI_VECTOR(small_floats)(small->scale[s] + rows * part));
        if (kind.halves == 4) /* y - m * t is y + (-m) * t, bit for bit. */
            f.minimum = TINI_VECTOR(times)(TINI_VECTOR(negative)(f.minimum),
                                           TINI_VECTOR(small_floats)(small->minimum[s] + rows * part));
    }
    return f;
}

/* acc + a sub-block's part of the outputs of one row of x. */
TINI_INLINE TINI_FLOATS TINI_SET(add_block)(TINI_FLOATS acc, TINI_INTS sum, const TINI_SET(scales) * f,
                                            TINI_INTS sums, const tini_q8 *x, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const int offset = TINI_SET(offset)(format);
    TINI_FLOATS scale = TINI_VECTOR(spread_f32)(x->scale);
    if (format == TINI_FORMAT_Q2_K) {
        TINI_FLOATS total = TINI_VECTOR(to_floats)(TINI_VECTOR(multiply_pairs)(f->pair, sums));
        TINI_FLOATS y = TINI_VECTOR(times)(f->d, TINI_VECTOR(to_floats)(sum));
        return TINI_VECTOR(plus)(
            acc, TINI_VECTOR(times)(TINI_VECTOR(minus)(y, TINI_VECTOR(times)(f->minimum, total)), scale));
    }
    if (tini_scales_by_half(format))
        sum = TINI_VECTOR(add)(sum, TINI_VECTOR(multiply_pairs)(f->pair, sums));
    else if (offset && !TINI_BEGINS)
        sum = TINI_VECTOR(subtract)(sum, TINI_VECTOR(times_power)(sums, offset));
    acc = TINI_VECTOR(plus)(acc,
                            TINI_VECTOR(times)(TINI_VECTOR(to_floats)(sum), TINI_VECTOR(times)(f->d, scale)));
    if (kind.halves == 4)
        acc = TINI_VECTOR(plus)(
            acc, TINI_VECTOR(times)(f->minimum, TINI_VECTOR(times)(scale, TINI_VECTOR(to_floats)(sums))));
    return acc;
}

/* `tiles` tiles by `columns` rows of x, in step: enough chains of sums to hide a product's latency. Each weight is
 * loaded and unpacked once for all columns, each activation broadcast once for all registers. fours: of 4 inputs each, that a
 * sub-block's weights have: 8, or 4 in halves. */
TINI_INLINE void TINI_SET(patch)(const tini_matmul *m, uint32_t tile, uint32_t t, const uint32_t tiles,
                                 const uint32_t columns, const int format, const uint32_t fours) {
    const tini_kind kind = tini_kind_of(format);
    const uint32_t registers = tiles * TINI_PARTS, subs = kind.inputs / TINI_BLOCK,
                   blocks = m->inputs / kind.inputs;
    const size_t sub_bytes = 8 * fours * (kind.low + kind.high);
    const size_t block_bytes = fours < 8 ? TINI_HALF_BYTES : TINI_TILE * tini_kind_bytes(&kind),
                 tile_bytes = blocks * block_bytes, head_bytes = TINI_TILE * (kind.halves + kind.scales);
    /* Blocks that memory is asked for ahead of use, on into the next tiles: the hardware's own drafts lose their way
     * among a super-block's parts, and between two tiles. */
    const uint32_t far = (4095 + (uint32_t)block_bytes) / (uint32_t)block_bytes;
    const uint32_t asks = t || format >= TINI_FORMAT_WIDE ? 0 : tiles;
    const uint8_t *w = m->weights + tile * tile_bytes;
    /* How far what is asked for lies beyond where it would, from the weights' end on: factors are too short to go without. */
    const uintptr_t end = (uintptr_t)m->weights + (m->outputs + TINI_TILE - 1) / TINI_TILE * tile_bytes;
    const uintptr_t jump = format == TINI_FORMAT_Q8_0 && m->next ? (uintptr_t)m->next - end : 0;
    const tini_q8 *x[4];
    TINI_FLOATS acc[4][4];
    TINI_UNROLL for (uint32_t c = 0; c < columns; c++) {
        x[c] = tini_row_q8(m, t + c < m->rows ? t + c : t);
        TINI_UNROLL for (uint32_t k = 0; k < registers; k++) acc[k][c] = TINI_VECTOR(spread_f32)(0.0f);
    }
    if (columns > 1)
        tini_fetch_outputs(m, tile, t, tiles, columns);
    for (uint32_t b = 0; b < blocks; b++, w += block_bytes) {
        tini_small small[2];
        for (uint32_t k = 0; k < (kind.scales ? tiles : 0); k++)
            tini_avx2_small(&small[k], w + k * tile_bytes + TINI_TILE * kind.halves, format);
        const uint8_t *p = w + head_bytes;
        const size_t ahead =
            far * block_bytes + (blocks == 1 || b + far < blocks ? 0 : (tiles - 1) * tile_bytes);
        for (uint32_t k = 0; k < asks; k++)
            tini_fetch_past(w + k * tile_bytes + ahead, head_bytes, end, jump);
        for (uint32_t s = 0; s < subs; s++, p += sub_bytes) {
            TINI_SET(scales) f[4];
            TINI_SET(sums) sum[4][4];
            TINI_UNROLL for (uint32_t k = 0; k < registers; k++) f[k] =
                TINI_SET(load_scales)(w + k / TINI_PARTS * tile_bytes, &small[kind.scales ? k / TINI_PARTS : 0],
                                      s, k % TINI_PARTS, format);
            for (uint32_t k = 0; k < asks; k++)
                tini_fetch_past(p + k * tile_bytes + ahead, sub_bytes, end, jump);
            if (TINI_BEGINS) {
                const uint32_t offset = tini_scales_by_half(format) ? 0 : (uint32_t)TINI_SET(offset)(format);
                TINI_UNROLL for (uint32_t c = 0; c < columns; c++)
                    TINI_UNROLL for (uint32_t k = 0; k < registers; k++)
                        TINI_SET(begin)(&sum[k][c], (int32_t)(0u - offset * (uint32_t)x[c]->sum));
            }
            TINI_UNROLL for (uint32_t i = 0; i < fours; i++) {
                /* Both nibbles of a byte one after the other, unless halves are summed apart. */
                const uint32_t j = tini_scales_by_half(format) || fours < 8 ? i : i / 2 + i % 2 * 4;
                TINI_INTS four[4];
                TINI_UNROLL for (uint32_t k = 0; k < registers; k++) four[k] = TINI_SET(four)(
                    p + k / TINI_PARTS * tile_bytes + 64 / TINI_PARTS * (k % TINI_PARTS), j, format);
                TINI_UNROLL for (uint32_t c = 0; c < columns; c++) {
                    int32_t q;
                    memcpy(&q, x[c]->q + 4 * j, 4);
                    TINI_UNROLL for (uint32_t k = 0; k < registers; k++)
                        TINI_SET(dot)(&sum[k][c], four[k], TINI_VECTOR(spread_i32)(q), i,
                                      j < 4 ? f[k].first : f[k].last, format);
                }
            }
            TINI_UNROLL for (uint32_t c = 0; c < columns; c++) {
                TINI_INTS
                sums = tini_scales_by_half(format) ? TINI_VECTOR(spread_first)(tini_avx2_half_sums(x[c]->q))
                                                   : TINI_VECTOR(spread_i32)(x[c]->sum);
                TINI_UNROLL for (uint32_t k = 0; k < registers; k++) acc[k][c] = TINI_SET(add_block)(
                    acc[k][c], TINI_SET(dot_total)(&sum[k][c], f[k].first, f[k].last, format), &f[k], sums,
                    x[c], format);
                x[c]++;
            }
        }
    }
    TINI_FLOATS y[16]; /* in memory, for a loop that is not unrolled */
    TINI_UNROLL for (uint32_t c = 0; c < columns; c++) TINI_UNROLL for (uint32_t k = 0; k < registers; k++)
        y[c * registers + k] = acc[k][c];
    TINI_VECTOR(store)(m, tile * TINI_PARTS, t, y, registers, m->rows - t < columns ? m->rows - t : columns);
}

/* half_q8_0. Tiles of one row go four registers at a time: one by itself has too little work. More rows have enough to make
 * blocks whole. */
TINI_INLINE void TINI_SET(half_q8)(const tini_matmul *m, uint32_t tile, uint32_t tile_end,
                                   tini_matmul_fn *whole) {
    tile_end = tini_tile_limit(m, tile_end);
    for (; m->rows == 1 && tile + 4 / TINI_PARTS <= tile_end; tile += 4 / TINI_PARTS)
        TINI_SET(patch)(m, tile, 0, 4 / TINI_PARTS, 1, TINI_FORMAT_Q8_0, 4);
    tini_half_as_whole(m, tile, tile_end, whole);
}

#ifdef TINI_WIDEN
TINI_NOINLINE void TINI_SET(matmul_wide)(const tini_matmul *m, uint32_t tile, uint32_t tile_end);
#if TINI_EVENS
TINI_NOINLINE void TINI_SET(matmul_even)(const tini_matmul *m, uint32_t tile, uint32_t tile_end);
#endif
#endif

TINI_INLINE void TINI_SET(matmul_q8)(const tini_matmul *m, uint32_t tile, uint32_t tile_end, const int format) {
#ifdef TINI_WIDEN
    if (tini_kind_of(format).words) {
        tini_matmul_fn *wide = TINI_SET(matmul_wide);
#if TINI_EVENS
        wide = tini_scales_are_even(format) ? TINI_SET(matmul_even) : wide;
#endif
        tini_words_matmul(m, tile, tile_end, format, TINI_WIDEN, wide);
        return;
    }
#endif
    tile_end = tini_tile_limit(m, tile_end);
#ifdef TINI_TWO_BLOCKS
    if (format == TINI_FORMAT_Q8_0 && m->inputs == 2 * TINI_BLOCK && m->rows >= 4 && !m->bias && !m->residual)
        tile = TINI_TWO_BLOCKS(m, tile, tile_end);
#endif
    while (tile < tile_end) {
        const uint32_t tiles =
            format < TINI_FORMAT_WIDE && m->rows >= TINI_LEAST && tile + TINI_TILES <= tile_end ? TINI_TILES
                                                                                                : 1;
        uint32_t t = 0;
        for (; t + TINI_LEAST <= m->rows; t += 4) {
            if (tiles == TINI_TILES)
                TINI_SET(patch)(m, tile, t, TINI_TILES, 4, format, 8);
            else
                TINI_SET(patch)(m, tile, t, 1, 4, format, 8);
        }
        for (; t < m->rows; t++)
            for (uint32_t k = 0; k < tiles; k++)
                TINI_SET(patch)(m, tile + k, t, 1, 1, format, 8);
        tile += tiles;
    }
}

#ifdef TINI_WIDEN
TINI_NOINLINE void TINI_SET(matmul_wide)(const tini_matmul *m, uint32_t tile, uint32_t tile_end) {
    TINI_SET(matmul_q8)(m, tile, tile_end, TINI_FORMAT_WIDE);
}

#if TINI_EVENS
TINI_NOINLINE void TINI_SET(matmul_even)(const tini_matmul *m, uint32_t tile, uint32_t tile_end) {
    TINI_SET(matmul_q8)(m, tile, tile_end, TINI_FORMAT_EVEN);
}
#endif
#endif

#undef TINI_INTS
#undef TINI_FLOATS
