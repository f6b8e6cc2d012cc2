/* A packed block as whole numbers: the layout of tiles, stated for reading. pack/pack.h describes it for people. */
#ifndef TINI_QUANTS_H
#define TINI_QUANTS_H

#include "formats.h"
#include "kernel.h"
#include "math.h"
#include "words.h"

#define TINI_QUANTS 256u /* most inputs of a block */

/* IQ4_NL's sixteen values, from GGUF, plus 128. */
static const uint8_t tini_iq4_nl[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                        129, 141, 153, 166, 181, 197, 217, 241};

/* IQ3_NL's eight: those of Q4_0's sixteen numbers that leave the least error. */
static const uint8_t tini_iq3_nl[16] = {0, 3, 5, 7, 8, 10, 12, 15};

/* What a block holds of one row, in bytes or bits. A block of q8 activations multiplies 32 inputs, a sub-block:
 * 4 * bits bytes of each plane. */
typedef struct tini_kind {
    uint32_t inputs;
    uint32_t halves;      /* bytes of float16: the scale, then the minimum */
    uint32_t scales;      /* bytes of small scales and minimums */
    uint32_t low, high;   /* bits an input in the two planes: a number is low | high << low's bits */
    int32_t offset;       /* taken off that number; 128: the weights are of 8 bits */
    const uint8_t *codes; /* or off that in its place in this table of 16 */
    uint32_t words;       /* of 4 bytes, where there are no planes but what widening makes (words.h) */
} tini_kind;

#define TINI_KIND_WORDS(block, bytes, halves, scales, low, high) \
    (halves && bytes != halves + scales + block / 8 * (low + high) ? (bytes - halves) / 4 : 0)

/* switch (format) { TIN_FORMATS(TINI_WORDS_CASE, call, ) }: call(format) with a constant, if it is one of words. */
#define TINI_WORDS_CASE(call, b, id, gguf, NAME, name, block, bytes, activations, halves, scales, low, high, \
                        ...)                                                                                 \
    case id:                                                                                                 \
        if (TINI_KIND_WORDS(block, bytes, halves, scales, low, high))                                        \
            call(id);                                                                                        \
        break;

/* For formats that read q8 activations; all zero for the others. */
TINI_INLINE tini_kind tini_kind_of(int format) {
    switch (format) {
#define TINI_KIND_CASE(a, b, id, gguf, NAME, name, block, bytes, activations, halves, scales, low, high, \
                       offset, codes)                                                                    \
    case id:                                                                                             \
        return (tini_kind){halves ? block : 0,                                                           \
                           halves,                                                                       \
                           scales,                                                                       \
                           low,                                                                          \
                           high,                                                                         \
                           offset,                                                                       \
                           codes,                                                                        \
                           TINI_KIND_WORDS(block, bytes, halves, scales, low, high)};
        TIN_FORMATS(TINI_KIND_CASE, , )
    case TINI_FORMAT_WIDE:
    case TINI_FORMAT_EVEN:
        return (tini_kind){TINI_QUANTS, TINI_WIDE_HALVES, TINI_WIDE_SCALES, 8, 0, 128, NULL, 0};
    }
    return (tini_kind){0, 0, 0, 0, 0, 0, NULL, 0};
}

/* Bytes of one row's block; TINI_TILE times that in a tile. */
TINI_INLINE size_t tini_kind_bytes(const tini_kind *kind) {
    if (kind->words)
        return kind->halves + 4 * kind->words;
    return kind->halves + kind->scales + kind->inputs / 8 * (kind->low + kind->high);
}

/* One row's block. */
typedef struct tini_quants {
    uint16_t half[2];
    uint8_t scale[16];      /* of formats of words: each 16 inputs' own */
    uint8_t q[TINI_QUANTS]; /* unsigned: before the offset is taken off, or the place in the table of codes */
} tini_quants;

TINI_REGION_SCALAR

/* A plane of `bits` bits an input: input i lies in byte i % stride of its run of stride bytes, from bit
 * i / stride * bits on. Writes the numbers to q[inputs]. */
TINI_INLINE void tini_plane_read(uint8_t *q, const uint8_t *plane, uint32_t inputs, uint32_t bits,
                                 uint32_t stride) {
    const uint32_t mask = (1u << bits) - 1;
    for (uint32_t i = 0; i < inputs; plane += stride)
        for (uint32_t shift = 0; shift < 8; shift += bits, i += stride)
            for (uint32_t l = 0; l < stride; l++)
                q[i + l] = (uint8_t)(plane[l] >> shift & mask);
}

/* The analyzer does not see that a format's planes and scales fill what is read of it. */
#ifdef __clang_analyzer__
#define TINI_FILLED(out) memset(out, 0, sizeof *(out))
#else
#define TINI_FILLED(out) ((void)0)
#endif

/* Puts a plane's bits above the `low` that q[inputs] have; does nothing with bits 0. */
TINI_INLINE void tini_plane_add(uint8_t *q, const uint8_t *plane, uint32_t inputs, uint32_t bits,
                                uint32_t stride, uint32_t low) {
    const uint32_t mask = (1u << bits) - 1;
    for (uint32_t i = 0; bits && i < inputs; plane += stride)
        for (uint32_t shift = 0; shift < 8; shift += bits, i += stride)
            for (uint32_t l = 0; l < stride; l++)
                q[i + l] = (uint8_t)(q[i + l] | (plane[l] >> shift & mask) << low);
}

/* The block of row `lane` of a tile. */
TINI_INLINE void tini_quants_from_tile(tini_quants *out, const uint8_t *tile, uint32_t lane, const int format) {
    const tini_kind kind = tini_kind_of(format);
    TINI_FILLED(out);
    for (uint32_t k = 0; k < kind.halves / 2; k++, tile += 2 * TINI_TILE)
        out->half[k] = tini_load_u16(tile + 2 * lane);
    for (uint32_t k = 0; k < kind.scales; k++, tile += TINI_TILE)
        out->scale[k] = tile[lane];
    if (kind.words) {
        tini_widen_row(out->q, out->scale, tile + 4 * lane, 4 * TINI_TILE, format);
        return;
    }
    uint8_t fours[64]; /* 32 at most; compilers that do not see which bits go together count more */
    TINI_FILLED(&fours);
    for (uint32_t i = 0; i < kind.inputs; i += TINI_BLOCK) {
        for (uint32_t k = 0; k < kind.high + kind.low; k++, tile += 4 * TINI_TILE)
            memcpy(fours + 4 * k, tile + 4 * lane, 4);
        tini_plane_read(out->q + i, fours + 4 * kind.high, TINI_BLOCK, kind.low, 4 * kind.low);
        tini_plane_add(out->q + i, fours, TINI_BLOCK, kind.high, 4 * kind.high, kind.low);
    }
}

/* Whether the first and the last 16 inputs of a sub-block have scales of their own. */
TINI_INLINE int tini_scales_by_half(const int format) {
    return format == TINI_FORMAT_Q6_K || format == TINI_FORMAT_Q3_K || format == TINI_FORMAT_Q2_K ||
           format == TINI_FORMAT_WIDE;
}

/* The small scale of inputs 16g .. 16g + 15, 1 where the format has none, and what multiplies the minimum. */
typedef struct tini_group {
    int32_t scale, minimum;
} tini_group;

/* scale: the block's bytes of small scales, `stride` apart. */
TINI_INLINE tini_group tini_group_in(const uint8_t *scale, const uint32_t stride, uint32_t g,
                                     const int format) {
    uint32_t s = g / 2, k = g % 4;
    switch (format) {
    case TINI_FORMAT_Q4_K:
    case TINI_FORMAT_Q5_K:
        if (s < 4)
            return (tini_group){scale[s * stride] & 63, scale[(s + 4) * stride] & 63};
        return (tini_group){(scale[(s + 4) * stride] & 15) | (scale[(s - 4) * stride] >> 2 & 48),
                            scale[(s + 4) * stride] >> 4 | (scale[s * stride] >> 2 & 48)};
    case TINI_FORMAT_Q6_K:
    case TINI_FORMAT_TQ1_0:
    case TINI_FORMAT_IQ3_S:
    case TINI_FORMAT_IQ3_XXS:
    case TINI_FORMAT_IQ2_S:
    case TINI_FORMAT_IQ2_XS:
    case TINI_FORMAT_IQ2_XXS:
    case TINI_FORMAT_WIDE:
    case TINI_FORMAT_EVEN:
        return (tini_group){(int8_t)scale[g * stride], 0};
    case TINI_FORMAT_Q3_K:
        return (tini_group){
            ((scale[g % 8 * stride] >> g / 8 * 4 & 15) | (scale[(8 + k) * stride] >> g / 4 * 2 & 3) << 4) - 32,
            0};
    case TINI_FORMAT_Q2_K:
        return (tini_group){scale[g * stride] & 15, scale[g * stride] >> 4};
    case TINI_FORMAT_IQ4_XS:
        return (tini_group){
            ((scale[(2 + s / 2) * stride] >> s % 2 * 4 & 15) | (scale[s / 4 * stride] >> s % 4 * 2 & 3) << 4) -
                32,
            0};
    }
    return (tini_group){1, 1};
}

TINI_INLINE tini_group tini_group_of(const uint8_t *scale, uint32_t g, const int format) {
    return tini_group_in(scale, 1, g, format);
}

/* What a number stands for, in units of its scale. */
TINI_INLINE int32_t tini_whole(uint8_t q, const tini_kind *kind) {
    return (int32_t)(kind->codes ? kind->codes[q & 15] : q) - kind->offset;
}

/* The numbers that a block stands for, as llama.cpp computes them: (d * scale) * q, and what the minimum adds. */
TINI_INLINE void tini_quants_floats(float *out, const tini_quants *w, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const int super = kind.inputs > TINI_BLOCK;
    float d = tini_unit(format) * tini_f16_to_f32(w->half[0]),
          minimum = kind.halves == 4 ? tini_f16_to_f32(w->half[1]) : 0.0f;
    for (uint32_t i = 0; i < kind.inputs; i += 16) {
        tini_group group = tini_group_of(w->scale, i / 16, format);
        float scale = super ? d * (float)group.scale : d;
        float least = super ? -(minimum * (float)group.minimum) : minimum;
        for (uint32_t k = i; k < i + 16; k++) {
            int32_t q = tini_whole(w->q[k], &kind);
            out[k] = kind.halves == 4 ? scale * (float)q + least : scale * (float)q;
        }
    }
}

TINI_REGION_END

#endif
