/* Matmul with 8-bit activations by MVE's VMLADAVA: 16 products of int8, added up in one int32. A gather takes a row's
 * words, which lie a tile apart.
 *
 * Bits equal the scalar's, because every integer sum is exact (and floats: ../armdsp/weights.h). */
#ifndef TINI_MVE_BLOCKS_H
#define TINI_MVE_BLOCKS_H

#include <arm_mve.h>

#include "../armdsp/weights.h"
#include "../scalar/words.h"

TINI_REGION_MVE

/* The numbers of 16 inputs, from input 16 * half on, of a plane of `bits` an input; plane: the row's first word. */
TINI_INLINE uint8x16_t tini_mve_plane(const uint8_t *plane, const uint32_t half, const uint32_t bits) {
    const uint32_t g = 4 * half, stride = 4 * TINI_TILE;
    const uint32x4_t places = {g % bits * stride, (g + 1) % bits * stride, (g + 2) % bits * stride,
                               (g + 3) % bits * stride};
    uint32x4_t words = vldrwq_gather_offset_u32((const uint32_t *)(const void *)plane, places);
    if (bits == 8)
        return vreinterpretq_u8_u32(words);
    if (bits == 4) /* one shift for all */
        return half ? vshrq_n_u8(vreinterpretq_u8_u32(words), 4)
                    : vandq_u8(vreinterpretq_u8_u32(words), vdupq_n_u8(15));
    const int32x4_t down = {-(int32_t)(g / bits * bits), -(int32_t)((g + 1) / bits * bits),
                            -(int32_t)((g + 2) / bits * bits), -(int32_t)((g + 3) / bits * bits)};
    return vandq_u8(vreinterpretq_u8_u32(vshlq_u32(words, down)), vdupq_n_u8((uint8_t)((1u << bits) - 1u)));
}

/* The sum of 16 weights times 16 activations. The weights are unsigned but for those of 8 bits, which here are taken as
 * w - 128. */
TINI_INLINE int32_t tini_mve_dot(const uint8_t *low, const uint8_t *high, const uint32_t half, int8x16_t x,
                                 const int format) {
    const tini_kind kind = tini_kind_of(format);
    uint8x16_t w = tini_mve_plane(low, half, kind.low);
    if (kind.high) {
        const uint8x16_t up = tini_mve_plane(high, half, kind.high);
        w = vorrq_u8(w, kind.low == 4 ? vshlq_n_u8(up, 4) : vshlq_n_u8(up, 2));
    }
    if (kind.codes)
        w = vldrbq_gather_offset_u8(kind.codes, w);
    if (kind.offset == 128)
        w = veorq_u8(w, vdupq_n_u8(128));
    return vmladavq_s8(vreinterpretq_s8_u8(w), x);
}

/* Sub-block s of a tile's block w: what each of its rows adds. */
TINI_INLINE void tini_mve_block(float acc[TINI_TILE], const uint8_t *w, uint32_t s, const tini_q8 *x,
                                const int format) {
    const tini_kind kind = tini_kind_of(format);
    const uint8_t *high =
        w + TINI_TILE * (kind.halves + kind.scales) + 4 * TINI_TILE * s * (kind.low + kind.high);
    const uint8_t *low = high + 4 * TINI_TILE * kind.high;
    const int8x16_t head = vldrbq_s8(x->q), tail = vldrbq_s8(x->q + 16);
    tini_arm_about about = {x->scale, x->scale * (float)x->sum, x->sum, 0};
    if (tini_scales_by_half(format))
        about.head = vaddvq_s8(head);
    if (kind.offset == 128) /* the offset is taken off already */
        about.sum = about.head = 0;
    for (uint32_t lane = 0; lane < TINI_TILE; lane++, low += 4, high += 4) {
        int32_t first = tini_mve_dot(low, high, 0, head, format);
        int32_t last = tini_mve_dot(low, high, 1, tail, format);
        acc[lane] = tini_arm_add(acc[lane], w, s, lane, first, last, &about, format);
    }
}

TINI_NOINLINE void tini_mve_matmul_wide(const tini_matmul *m, uint32_t tile, uint32_t tile_end);

TINI_INLINE void tini_mve_matmul_q8(const tini_matmul *m, uint32_t tile, uint32_t tile_end, const int format) {
    if (tini_kind_of(format).words) {
        tini_words_matmul(m, tile, tile_end, format, tini_widen, tini_mve_matmul_wide);
        return;
    }
    const tini_kind kind = tini_kind_of(format);
    const uint32_t blocks = m->inputs / kind.inputs, subs = kind.inputs / TINI_BLOCK;
    const size_t block_bytes = TINI_TILE * tini_kind_bytes(&kind);
    tile_end = tini_tile_limit(m, tile_end);
    for (; tile < tile_end; tile++) {
        for (uint32_t t = 0; t < m->rows; t++) {
            const uint8_t *w = m->weights + tile * blocks * block_bytes;
            const tini_q8 *x = tini_row_q8(m, t);
            float acc[TINI_TILE] = {0};
            for (uint32_t b = 0; b < blocks; b++, w += block_bytes)
                for (uint32_t s = 0; s < subs; s++, x++)
                    tini_mve_block(acc, w, s, x, format);
            tini_tile_store(m, tile, t, acc);
        }
    }
}

TINI_NOINLINE void tini_mve_matmul_wide(const tini_matmul *m, uint32_t tile, uint32_t tile_end) {
    tini_mve_matmul_q8(m, tile, tile_end, TINI_FORMAT_WIDE);
}

TINI_REGION_END

#endif
