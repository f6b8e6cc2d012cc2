#include "words.h"

#include "blocks.h"

enum { TOGETHER = 32 }; /* rows of x that a block is widened once for */

TINI_REGION_REFERENCE

/* What each matmul of these formats adds up: y = 0; for each 256 inputs in order, part = 0; for each 32 of them in order, with
 * w whole numbers within 62 and sc0, sc1 = 1, 3, .. 31 the small scales of the first and the last 16:
 *     part = part + (float)(sc0 * sum0 + sc1 * sum1) * (d * scale), sum0 and sum1 the halves' sums of w * q
 * then y = part + y; and in the end y * unit.
 *
 * The integers are exact, below 2 * 31 * 16 * 62 * 127 < 2^23, so the conversion is exact too. d is the float16 scale of the 256,
 * scale the activations', unit a power of two. */
TINI_INLINE float tini_wide_add(float part, const tini_quants *w, uint32_t s, const tini_q8 *x) {
    const uint8_t *q = w->q + TINI_BLOCK * s;
    const tini_group first = tini_group_of(w->scale, 2 * s, TINI_FORMAT_WIDE);
    const tini_group last = tini_group_of(w->scale, 2 * s + 1, TINI_FORMAT_WIDE);
    int32_t sum = first.scale * tini_dot(q, x->q, 16, 128) + last.scale * tini_dot(q + 16, x->q + 16, 16, 128);
    return part + (float)sum * (tini_f16_to_f32(w->half[0]) * x->scale);
}

void tini_wide_matmul_scalar(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_scalar_matmul(m, tile_begin, tile_end, TINI_FORMAT_WIDE, tini_wide_add);
}

TINI_REGION_END

TINI_REGION_SCALAR

void tini_words_matmul(const tini_matmul *m, uint32_t tile, uint32_t tile_end, int format, tini_widen_fn *widen,
                       tini_matmul_fn *wide) {
    const tini_kind kind = tini_kind_of(format);
    const uint32_t blocks = m->inputs / TINI_QUANTS, head = TINI_TILE * TINI_WIDE_HALVES;
    const size_t block_bytes = TINI_TILE * tini_kind_bytes(&kind);
    const float unit = tini_unit(format);
    tile_end = tini_tile_limit(m, tile_end);
    for (; tile < tile_end; tile++) {
        for (uint32_t t = 0; t < m->rows; t += TOGETHER) {
            const uint8_t *w = m->weights + tile * blocks * block_bytes;
            _Alignas(64) uint8_t room[32 + TINI_TILE * TINI_WIDE_BYTES];
            uint8_t *const block = room + 32; /* what is behind the halves begins a cache line */
            float y[TOGETHER][TINI_TILE] = {{0}};
            tini_matmul part = {
                .weights = block,
                .out = y[0],
                .residual = y[0],
                .x_stride = m->x_stride,
                .out_stride = TINI_TILE,
                .residual_stride = TINI_TILE,
                .rows = m->rows - t < TOGETHER ? m->rows - t : TOGETHER,
                .inputs = TINI_QUANTS,
                .outputs = TINI_TILE,
            };
            for (uint32_t b = 0; b < blocks; b++, w += block_bytes) {
                memcpy(block, w, head);
                widen(block + head, w + head, format);
                part.x = tini_row_q8(m, t) + b * (TINI_QUANTS / TINI_BLOCK);
                wide(&part, 0, 1);
            }
            for (uint32_t r = 0; r < part.rows; r++) {
                for (uint32_t lane = 0; lane < TINI_TILE; lane++)
                    y[r][lane] = y[r][lane] * unit;
                tini_tile_store(m, tile, t + r, y[r]);
            }
        }
    }
}

TINI_REGION_END
