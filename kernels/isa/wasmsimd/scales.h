/* Packed blocks on WebAssembly SIMD: scales of 16 rows, and planes of few bits put into bytes (see pack/pack.h). */
#ifndef TINI_WASMSIMD_SCALES_H
#define TINI_WASMSIMD_SCALES_H

#include "../../core/base/quants.h"
#include "rows.h"

/* How a format's integer sums are made (blocks.h); HALVES are NUMBERS with a scale for each 16 inputs. */
typedef enum tini_wasm_way {
    TINI_WASM_BYTES,
    TINI_WASM_NIBBLES,
    TINI_WASM_NUMBERS,
    TINI_WASM_HALVES,
} tini_wasm_way;

/* Of a sub-block, four rows a register. */
typedef struct tini_wasm_scales {
    v128_t d[4], minimum[4];  /* q4_k, q5_k: with the small scale and minimum */
    v128_t first[4], last[4]; /* small scales of each 16 inputs, twice a row in 16-bit lanes */
    v128_t minimums[4];       /* q2_k: small minimums, both of a row in its two 16-bit lanes */
} tini_wasm_scales;

TINI_REGION_WASMSIMD

TINI_INLINE tini_wasm_way tini_wasm_way_of(const int format) {
    const tini_kind kind = tini_kind_of(format);
    if (kind.offset == 128)
        return TINI_WASM_BYTES;
    if (tini_scales_by_half(format))
        return TINI_WASM_HALVES;
    return kind.high || kind.low != 4 ? TINI_WASM_NUMBERS : TINI_WASM_NIBBLES;
}

TINI_INLINE int tini_wasm_unpacks(const int format) {
    return tini_kind_of(format).low != 8 && tini_wasm_way_of(format) != TINI_WASM_NIBBLES;
}

/* What is taken off the numbers so that 16-bit sums fit; also where the format's own offset is 0. */
TINI_INLINE int32_t tini_wasm_taken_off(const int format) {
    return tini_wasm_way_of(format) == TINI_WASM_NUMBERS ? 16 : tini_kind_of(format).offset;
}

/* The even and odd bytes of 16 as signed 16-bit lanes. */
TINI_INLINE v128_t tini_wasm_even(v128_t bytes) {
    return wasm_i16x8_shr(wasm_i16x8_shl(bytes, 8), 8);
}

TINI_INLINE v128_t tini_wasm_odd(v128_t bytes) {
    return wasm_i16x8_shr(bytes, 8);
}

/* The bits of `mask` in each byte, from `from` places higher (lower where negative). */
TINI_INLINE v128_t tini_wasm_bits(v128_t bytes, const int from, const int mask) {
    v128_t moved = from < 0 ? wasm_i16x8_shl(bytes, (uint32_t)-from) : wasm_u16x8_shr(bytes, (uint32_t)from);
    return wasm_v128_and(moved, wasm_i8x16_splat((int8_t)mask));
}

/* out[8][64]: a sub-block's numbers as bytes, group by group as q8_0 has them. */
TINI_INLINE void tini_wasm_unpack(uint8_t *out, const uint8_t *planes, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const int low = (int)kind.low, high = (int)kind.high;
    const v128_t numbers = kind.codes ? wasm_v128_load(kind.codes) : (v128_t){0};
    for (uint32_t q = 0; q < 4; q++) {
        const uint8_t *from = planes + 16 * q;
        TINI_PRAGMA(clang loop unroll(full))
        for (int g = 0; g < 8; g++) {
            v128_t bytes = wasm_v128_load(from + 64 * (high + g % low));
            bytes = tini_wasm_bits(bytes, g / low * low, (1 << low) - 1);
            if (high) {
                v128_t top = wasm_v128_load(from + 64 * (g % (high ? high : 1)));
                top = tini_wasm_bits(top, g / (high ? high : 1) * high - low, ((1 << high) - 1) << low);
                bytes = wasm_v128_or(bytes, top);
            }
            if (kind.codes)
                bytes = wasm_i8x16_swizzle(numbers, bytes);
            wasm_v128_store(out + 64 * g + 16 * q, bytes);
        }
    }
}

/* Sixteen signed bytes times d: four rows a register, each product exact. */
TINI_INLINE void tini_wasm_multiply(v128_t d[4], v128_t bytes) {
    v128_t low = wasm_i16x8_extend_low_i8x16(bytes), high = wasm_i16x8_extend_high_i8x16(bytes);
    d[0] = wasm_f32x4_mul(d[0], wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(low)));
    d[1] = wasm_f32x4_mul(d[1], wasm_f32x4_convert_i32x4(wasm_i32x4_extend_high_i16x8(low)));
    d[2] = wasm_f32x4_mul(d[2], wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(high)));
    d[3] = wasm_f32x4_mul(d[3], wasm_f32x4_convert_i32x4(wasm_i32x4_extend_high_i16x8(high)));
}

/* Bytes a and b of each row as its two 16-bit lanes. */
TINI_INLINE void tini_wasm_lanes(v128_t out[4], v128_t a, v128_t b) {
    v128_t low = wasm_i8x16_shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    v128_t high = wasm_i8x16_shuffle(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    out[0] = wasm_i16x8_extend_low_i8x16(low);
    out[1] = wasm_i16x8_extend_high_i8x16(low);
    out[2] = wasm_i16x8_extend_low_i8x16(high);
    out[3] = wasm_i16x8_extend_high_i8x16(high);
}

/* q4_k and q5_k: small scale and minimum of sub-block s. small: 12 vectors of 16 rows. */
TINI_INLINE void tini_wasm_small_k(v128_t *scale, v128_t *minimum, const uint8_t *small, uint32_t s) {
    const uint8_t *at = small + 16 * (s % 4);
    v128_t a = wasm_v128_load(at), b = wasm_v128_load(at + 64);
    if (s < 4) {
        *scale = tini_wasm_bits(a, 0, 63);
        *minimum = tini_wasm_bits(b, 0, 63);
    } else {
        v128_t c = wasm_v128_load(at + 128);
        *scale = wasm_v128_or(tini_wasm_bits(c, 0, 15), tini_wasm_bits(a, 2, 48));
        *minimum = wasm_v128_or(tini_wasm_bits(c, 4, 15), tini_wasm_bits(b, 2, 48));
    }
}

/* q3_k: the small scale of inputs 16g .. 16g + 15. */
TINI_INLINE v128_t tini_wasm_small_q3(const uint8_t *small, uint32_t g) {
    v128_t low = wasm_v128_load(small + 16 * (g % 8)), high = wasm_v128_load(small + 16 * (8 + g % 4));
    low = wasm_v128_and(wasm_u16x8_shr(low, g / 8 * 4), wasm_i8x16_const_splat(15));
    high = wasm_v128_and(wasm_u16x8_shr(high, g / 4 * 2), wasm_i8x16_const_splat(3));
    return wasm_i8x16_sub(wasm_v128_or(low, wasm_i16x8_shl(high, 4)), wasm_i8x16_const_splat(32));
}

/* Of sub-block `sub` of the packed block w. */
TINI_INLINE void tini_wasm_read_scales(tini_wasm_scales *s, const uint8_t *w, uint32_t sub, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const uint8_t *small = w + TINI_TILE * kind.halves;
    tini_wasm_halves(w, s->d);
    tini_wasm_halves(w + 16, s->d + 2);
    if (kind.halves == 4) {
        tini_wasm_halves(w + 32, s->minimum);
        tini_wasm_halves(w + 48, s->minimum + 2);
    }
    if (format == TINI_FORMAT_Q4_K || format == TINI_FORMAT_Q5_K) {
        v128_t scale, minimum;
        tini_wasm_small_k(&scale, &minimum, small, sub);
        tini_wasm_multiply(s->d, scale);
        tini_wasm_multiply(s->minimum, minimum);
    } else if (format == TINI_FORMAT_IQ4_XS) {
        v128_t low = wasm_u16x8_shr(wasm_v128_load(small + 16 * (2 + sub / 2)), sub % 2 * 4);
        v128_t high = wasm_u16x8_shr(wasm_v128_load(small + 16 * (sub / 4)), sub % 4 * 2);
        low = wasm_v128_or(tini_wasm_bits(low, 0, 15), wasm_i16x8_shl(tini_wasm_bits(high, 0, 3), 4));
        tini_wasm_multiply(s->d, wasm_i8x16_sub(low, wasm_i8x16_const_splat(32)));
    } else if (tini_scales_by_half(format)) {
        v128_t first, last;
        if (format == TINI_FORMAT_Q3_K) {
            first = tini_wasm_small_q3(small, 2 * sub);
            last = tini_wasm_small_q3(small, 2 * sub + 1);
        } else {
            first = wasm_v128_load(small + 32 * sub);
            last = wasm_v128_load(small + 32 * sub + 16);
        }
        if (format == TINI_FORMAT_Q2_K) {
            tini_wasm_lanes(s->minimums, tini_wasm_bits(first, 4, 15), tini_wasm_bits(last, 4, 15));
            first = tini_wasm_bits(first, 0, 15);
            last = tini_wasm_bits(last, 0, 15);
        }
        tini_wasm_lanes(s->first, first, first);
        tini_wasm_lanes(s->last, last, last);
    }
}

TINI_REGION_END

#endif
