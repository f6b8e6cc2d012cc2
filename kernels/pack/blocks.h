/* GGUF blocks as whole numbers, and back. */
#ifndef TINI_BLOCKS_H
#define TINI_BLOCKS_H

#include "layout.h"
#include "../core/base/quants.h"

TINI_REGION_SCALAR

/* The inverse of tini_plane_read: the bits from `right` on of q[inputs] as a plane. */
TINI_INLINE void tini_plane_write(uint8_t *plane, const uint8_t *q, uint32_t inputs, uint32_t bits,
                                  uint32_t stride, uint32_t right) {
    const uint32_t mask = (1u << bits) - 1;
    for (uint32_t i = 0; i < inputs; plane += stride) {
        memset(plane, 0, stride);
        for (uint32_t shift = 0; shift < 8; shift += bits, i += stride)
            for (uint32_t l = 0; l < stride; l++)
                /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): planes cover all inputs */
                plane[l] = (uint8_t)(plane[l] | (q[i + l] >> right & mask) << shift);
    }
}

/* A block's numbers from GGUF's order, and back to it. */
TINI_INLINE void tini_quants_from_gguf(tini_quants *out, const uint8_t *block, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const tini_layout layout = tini_layout_of(format);
    memcpy(out->half, block + layout.halves, kind.halves);
    memcpy(out->scale, block + layout.scales, kind.scales);
    if (kind.words) {
        tini_widen_row(out->q, out->scale, block + layout.low.at, layout.low.stride, format);
        return;
    }
    tini_plane_read(out->q, block + layout.low.at, kind.inputs, kind.low, layout.low.stride);
    tini_plane_add(out->q, block + layout.high.at, kind.inputs, kind.high, layout.high.stride, kind.low);
    for (uint32_t i = 0; layout.flip && i < kind.inputs; i++)
        out->q[i] ^= layout.flip;
}

/* Not of formats of words. */
TINI_INLINE void tini_quants_to_gguf(uint8_t *block, const tini_quants *w, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const tini_layout layout = tini_layout_of(format);
    memcpy(block + layout.halves, w->half, kind.halves);
    memcpy(block + layout.scales, w->scale, kind.scales);
    for (uint32_t i = 0; layout.flip && i < kind.inputs; i++)
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): planes cover all inputs */
        block[layout.low.at + i] = w->q[i] ^ layout.flip;
    if (!layout.flip)
        tini_plane_write(block + layout.low.at, w->q, kind.inputs, kind.low, layout.low.stride, 0);
    if (kind.high)
        tini_plane_write(block + layout.high.at, w->q, kind.inputs, kind.high, layout.high.stride, kind.low);
}

TINI_REGION_END

#endif
