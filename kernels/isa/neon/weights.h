/* What the matmuls with 8-bit activations share on ARM64: four rows of a tile's sub-block (32 inputs), unpacked, and the
 * floats around their integer sums.
 *
 * Floats are one lane a row and step as the scalar's do. An integer sum is kept inside a float's mantissa: it starts from
 * the bits of 1.5 * 2^23, less the weights' offset times the sum of the activations; it is exact and stays within 2^22
 * of them (32 * 128 * 127 = 520,192), so it becomes a float by taking 1.5 * 2^23 off, where a conversion would take
 * four times as long. */
#ifndef TINI_NEON_WEIGHTS_H
#define TINI_NEON_WEIGHTS_H

#include <arm_neon.h>

#include "../../core/base/kernel.h"
#include "../../core/base/quants.h"
#include "../scalar/tile.h"
#include "rows.h"

TINI_REGION_NEON

typedef struct tini_neon_block {
    int8x16_t w[8];                 /* inputs 4i .. 4i + 3 of each of the four rows, plus tini_neon_offset */
    float32x4_t d, minimum;         /* with the small scales in them, but for formats that are split */
    float32x4_t small[2], least[2]; /* split: small scales and minimums of the first and the last 16 inputs */
} tini_neon_block;

/* Whether eight rows of x are taken at once too, beside twelve and four: where most weights are, for each has code of its own. */
TINI_INLINE int tini_neon_takes_eight(const int format) {
    return format == TINI_FORMAT_Q4_0 || format == TINI_FORMAT_Q8_0 || format == TINI_FORMAT_Q4_K;
}

/* What unpacked weights exceed the format's by: the sum of w * q is the unpacked sum less offset times the sum of q. */
TINI_INLINE uint32_t tini_neon_offset(const int format) {
    const tini_kind kind = tini_kind_of(format);
    return kind.offset == 128 || tini_scales_by_half(format) ? 0 : (uint32_t)kind.offset;
}

TINI_INLINE uint8x16_t tini_neon_right(uint8x16_t x, const int bits) {
    switch (bits) {
    case 1:
        return vshrq_n_u8(x, 1);
    case 2:
        return vshrq_n_u8(x, 2);
    case 3:
        return vshrq_n_u8(x, 3);
    case 4:
        return vshrq_n_u8(x, 4);
    case 5:
        return vshrq_n_u8(x, 5);
    case 6:
        return vshrq_n_u8(x, 6);
    default: /* 0 */
        return x;
    }
}

TINI_INLINE uint8x16_t tini_neon_left(uint8x16_t x, const int bits) {
    switch (bits) {
    case 1:
        return vshlq_n_u8(x, 1);
    case 2:
        return vshlq_n_u8(x, 2);
    case 3:
        return vshlq_n_u8(x, 3);
    case 4:
        return vshlq_n_u8(x, 4);
    default: /* 0 */
        return x;
    }
}

/* Group g of a plane of `bits` bits (pack/pack.h), moved to bit `to`. */
TINI_INLINE uint8x16_t tini_neon_plane(const uint8_t *plane, const int g, const int bits, const int to) {
    const int from = g / bits * bits;
    uint8x16_t x = vld1q_u8(plane + 64 * (g % bits));
    x = from > to ? tini_neon_right(x, from - to) : tini_neon_left(x, to - from);
    if (bits == 8 || (to == 0 && from + bits == 8))
        return x;
    return vandq_u8(x, vdupq_n_u8((uint8_t)(((1 << bits) - 1) << to)));
}

/* Four bytes as floats. */
TINI_INLINE float32x4_t tini_neon_bytes(uint32_t four) {
    return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(four)))));
}

TINI_INLINE float32x4_t tini_neon_signed_bytes(uint32_t four) {
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(four)))));
}

TINI_INLINE uint32_t tini_neon_four(const uint8_t *p) {
    uint32_t four;
    memcpy(&four, p, 4);
    return four;
}

/* The small scales of sub-block s, four rows at a time in the bytes of a word: tini_group_of. p: those of the rows;
 * byte k of a row's is 16 * k further on. */
TINI_INLINE void tini_neon_small(tini_neon_block *block, const uint8_t *p, uint32_t s, const int format) {
    if (format == TINI_FORMAT_Q4_K || format == TINI_FORMAT_Q5_K) {
        uint32_t scale = tini_neon_four(p + 16 * s), minimum = tini_neon_four(p + 16 * s + 64);
        if (s < 4) {
            scale &= 0x3f3f3f3fu;
            minimum &= 0x3f3f3f3fu;
        } else {
            uint32_t least = (minimum >> 4 & 0x0f0f0f0fu) | (scale >> 2 & 0x30303030u);
            scale = (minimum & 0x0f0f0f0fu) | (tini_neon_four(p + 16 * s - 64) >> 2 & 0x30303030u);
            minimum = least;
        }
        block->d = vmulq_f32(block->d, tini_neon_bytes(scale));
        /* The scalar takes this term off; adding its negative gives the same bits. */
        block->minimum = vnegq_f32(vmulq_f32(block->minimum, tini_neon_bytes(minimum)));
    } else if (format == TINI_FORMAT_IQ4_XS) {
        uint32_t low = tini_neon_four(p + 16 * (2 + s / 2)) >> s % 2 * 4 & 0x0f0f0f0fu;
        uint32_t high = tini_neon_four(p + 16 * (s / 4)) >> s % 4 * 2 & 0x03030303u;
        block->d = vmulq_f32(block->d, vsubq_f32(tini_neon_bytes(low | high << 4), vdupq_n_f32(32.0f)));
    } else if (tini_scales_by_half(format)) {
        for (uint32_t half = 0; half < 2; half++) {
            uint32_t g = 2 * s + half, four = tini_neon_four(p + 16 * (format == TINI_FORMAT_Q3_K ? g % 8 : g));
            if (format == TINI_FORMAT_Q6_K || format == TINI_FORMAT_WIDE) {
                block->small[half] = tini_neon_signed_bytes(four);
            } else if (format == TINI_FORMAT_Q2_K) {
                block->small[half] = tini_neon_bytes(four & 0x0f0f0f0fu);
                block->least[half] = tini_neon_bytes(four >> 4 & 0x0f0f0f0fu);
            } else {
                uint32_t top = tini_neon_four(p + 16 * (8 + g % 4)) >> g / 4 * 2 & 0x03030303u;
                four = (four >> g / 8 * 4 & 0x0f0f0f0fu) | top << 4;
                block->small[half] = vsubq_f32(tini_neon_bytes(four), vdupq_n_f32(32.0f));
            }
        }
    }
}

/* Scales and negative minimums of a tile's block of Q4_K or Q5_K: [sub-block][which][quarter]. Of all rows at once they take a third
 * of the instructions. In widen.c. */
typedef float32x4_t tini_neon_smalls[8][2][4];

TINI_NEON_ONCE void tini_neon_small_tile(tini_neon_smalls to, const uint8_t *p);

TINI_INLINE int tini_neon_has_smalls(const int format) {
    return format == TINI_FORMAT_Q4_K || format == TINI_FORMAT_Q5_K;
}

TINI_INLINE uint8x16_t tini_neon_signed(uint8x16_t x, const int wanted) {
    return wanted ? veorq_u8(x, vdupq_n_u8(0x80)) : x;
}

/* p: the tile's block; its sub-block s; rows 4 * quarter .. 4 * quarter + 3. raw: bytes of 8 bits stay unsigned, which
 * makes their offset 128. smalls: of a format that has them, or NULL. */
TINI_INLINE tini_neon_block tini_neon_load_as(const uint8_t *p, uint32_t s, uint32_t quarter, const int format,
                                              const int raw, const tini_neon_smalls *smalls) {
    const tini_kind kind = tini_kind_of(format);
    const uint8_t *low = p + TINI_TILE * (kind.halves + kind.scales) + 64 * s * (kind.low + kind.high) +
                         16 * quarter + 64 * kind.high;
    const uint8_t *high = low - 64 * kind.high;
    tini_neon_block block;
    if (smalls) {
        block.d = (*smalls)[s][0][quarter];
        block.minimum = (*smalls)[s][1][quarter];
    } else {
        block.d = tini_neon_halves(p + 8 * quarter);
        if (kind.halves == 4)
            block.minimum = tini_neon_halves(p + 2 * TINI_TILE + 8 * quarter);
        tini_neon_small(&block, p + TINI_TILE * kind.halves + 4 * quarter, s, format);
    }
    TINI_NEON_UNROLL
    for (int g = 0; g < 8; g++) {
        uint8x16_t w = tini_neon_plane(low, g, (int)kind.low, 0);
        if (kind.high)
            w = vorrq_u8(w, tini_neon_plane(high, g, (int)kind.high, (int)kind.low));
        if (kind.codes)
            w = vqtbl1q_u8(tini_neon_signed(vld1q_u8(kind.codes), kind.offset == 128 && !raw), w);
        else
            w = tini_neon_signed(w, kind.low == 8 && !raw);
        block.w[g] = vreinterpretq_s8_u8(w);
        if (tini_scales_by_half(format) && kind.offset && kind.low != 8)
            block.w[g] = vsubq_s8(block.w[g], vdupq_n_s8((int8_t)kind.offset));
    }
    return block;
}

TINI_INLINE tini_neon_block tini_neon_load(const uint8_t *p, uint32_t s, uint32_t quarter, const int format) {
    return tini_neon_load_as(p, s, quarter, format, 0, NULL);
}

/* What the sum of unpacked weights times activations starts from. */
TINI_INLINE uint32_t tini_neon_begin(const tini_q8 *x, const uint32_t offset) {
    uint32_t begin = 0x4b400000u - offset * (uint32_t)x->sum;
    TINI_NEON_HIDE(begin);
    return begin;
}

/* The sum that started from tini_neon_begin. */
TINI_INLINE float32x4_t tini_neon_exact(int32x4_t sum) {
    return vsubq_f32(vreinterpretq_f32_s32(sum), vdupq_n_f32(TINI_ROUND_F32));
}

/* What the floats take from 32 activations: `least` goes with a minimum, that of all inputs or of the first and the last 16. */
typedef struct tini_neon_column {
    float scale, least[2];
} tini_neon_column;

TINI_INLINE tini_neon_column tini_neon_column_of(const tini_q8 *x, const int format) {
    tini_neon_column column = {.scale = x->scale};
    if (format == TINI_FORMAT_Q2_K) {
        column.least[0] = (float)vaddlvq_s8(vld1q_s8(x->q));
        column.least[1] = (float)vaddlvq_s8(vld1q_s8(x->q + 16));
    } else {
        column.least[0] = x->scale * (float)x->sum;
    }
    return column;
}

/* acc + this sub-block's part of four outputs. sum: of w * q, as tini_neon_exact takes it. */
TINI_INLINE float32x4_t tini_neon_add(float32x4_t acc, const tini_neon_block *block, int32x4_t sum,
                                      const tini_neon_column x, const int format) {
    acc = vaddq_f32(acc, vmulq_f32(tini_neon_exact(sum), vmulq_n_f32(block->d, x.scale)));
    if (tini_kind_of(format).halves == 4)
        acc = vaddq_f32(acc, vmulq_n_f32(block->minimum, x.least[0]));
    return acc;
}

/* As above, where the sums of the first and the last 16 inputs have their own small scales: products and sums of these
 * whole numbers are below 2^24 and exact as floats too. (A zero may be negative where the scalar's is not; y plus
 * either is y, which is never -0.) */
TINI_INLINE float32x4_t tini_neon_add_split(float32x4_t acc, const tini_neon_block *block, int32x4_t first,
                                            int32x4_t last, const tini_neon_column x, const int format) {
    float32x4_t sum = vaddq_f32(vmulq_f32(tini_neon_exact(first), block->small[0]),
                                vmulq_f32(tini_neon_exact(last), block->small[1]));
    if (format != TINI_FORMAT_Q2_K)
        return vaddq_f32(acc, vmulq_f32(sum, vmulq_n_f32(block->d, x.scale)));
    float32x4_t total =
        vaddq_f32(vmulq_n_f32(block->least[0], x.least[0]), vmulq_n_f32(block->least[1], x.least[1]));
    sum = vsubq_f32(vmulq_f32(block->d, sum), vmulq_f32(block->minimum, total));
    return vaddq_f32(acc, vmulq_n_f32(sum, x.scale));
}

/* Asks for what follows in some hundred cycles: as many bytes as are read before it asks again. */
TINI_INLINE void tini_neon_prefetch(const uint8_t *w, size_t bytes) {
    TINI_NEON_UNROLL
    for (size_t k = 0; k < bytes; k += 64)
        __builtin_prefetch(w + 1536 + k, 0, 0);
}

TINI_REGION_END

#endif
