/* What the matmuls of Cortex-M share: the floats, one row at a time on the scalar FPU, as MVE's own would flush denormals.
 *
 * Bits equal the scalar kernels', because the integer sums are exact and what follows is the same operations in the same
 * order. */
#ifndef TINI_ARM_WEIGHTS_H
#define TINI_ARM_WEIGHTS_H

#include "../../core/base/quants.h"
#include "../scalar/tile.h"

TINI_REGION_SCALAR

/* What a sub-block's activations tell beside themselves. head: the sum of the first 16; scaled: scale * (float)sum. */
typedef struct tini_arm_about {
    float scale, scaled;
    int32_t sum, head;
} tini_arm_about;

/* Exact, by the FPU's own instruction where it has one. */
TINI_INLINE float tini_arm_half(const uint8_t *p) {
#if defined(__ARM_FP) && (__ARM_FP & 2)
    float bits = tini_float(tini_load_u16(p)), value;
    __asm__("vcvtb.f32.f16 %0, %1" : "=t"(value) : "t"(bits));
    return value;
#else
    return tini_f16_to_f32(tini_load_u16(p));
#endif
}

/* y and what sub-block s of row `lane` of the tile's block w adds to it. first, last: the sums of the unsigned weights
 * times the activations of its two halves. Sums are unsigned on their way: what the arena has as the sum of activations may
 * be any number, in a hostile file's program. */
TINI_INLINE float tini_arm_add(float y, const uint8_t *w, uint32_t s, uint32_t lane, int32_t first,
                               int32_t last, const tini_arm_about *x, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const uint32_t offset = (uint32_t)kind.offset;
    const uint8_t *scales = w + TINI_TILE * kind.halves + lane;
    float d = tini_arm_half(w + 2 * lane), minimum = 0.0f;
    if (kind.halves == 4)
        minimum = tini_arm_half(w + 2 * TINI_TILE + 2 * lane);
    if (tini_scales_by_half(format)) {
        const tini_group a = tini_group_in(scales, TINI_TILE, 2 * s, format);
        const tini_group b = tini_group_in(scales, TINI_TILE, 2 * s + 1, format);
        const uint32_t head = (uint32_t)x->head, tail = (uint32_t)x->sum - head;
        const uint32_t one = (uint32_t)first - offset * head, other = (uint32_t)last - offset * tail;
        int32_t sum = (int32_t)((uint32_t)a.scale * one + (uint32_t)b.scale * other);
        if (format != TINI_FORMAT_Q2_K)
            return y + (float)sum * (d * x->scale);
        int32_t total = (int32_t)((uint32_t)a.minimum * head + (uint32_t)b.minimum * tail);
        return y + (d * (float)sum - minimum * (float)total) * x->scale;
    }
    int32_t sum = (int32_t)((uint32_t)(first + last) - offset * (uint32_t)x->sum);
    if (kind.scales) {
        const tini_group group = tini_group_in(scales, TINI_TILE, 2 * s, format);
        y = y + (float)sum * (d * (float)group.scale * x->scale);
        return kind.halves == 4 ? y - minimum * (float)group.minimum * x->scaled : y;
    }
    y = y + (float)sum * (d * x->scale);
    return kind.halves == 4 ? y + minimum * x->scaled : y;
}

TINI_REGION_END

#endif
