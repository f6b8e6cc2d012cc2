/* The build side of the packed layout: GGUF rows to tiles and back, floats to blocks and back.
 *
 * Packed layout. A tensor of `rows` x `inputs` becomes ceil(rows / 16) tiles, one after the other; rows past
 * the end are zero bytes. Inside a tile, for each block of a row's inputs in order:
 *
 *   f32          16 floats, one a row
 *   f16, bf16    16 halves, one a row
 *   others       16 float16 scales;
 *                q4_1, q5_1, q4_k, q5_k, q2_k: 16 float16 minimums;
 *                q4_k, q5_k, q3_k, q6_k, q2_k, iq4_xs: for each of the GGUF block's 12, 16 or 6 bytes of small
 *                scales, 16 bytes, one a row;
 *                for each 32 inputs in order, a sub-block: its planes
 *
 * tq1_0, iq3_s, iq3_xxs, iq2_s, iq2_xs and iq2_xxs have, in the place of the last two, the GGUF block's other bytes as they
 * are, as words of 4: byte 4 * row + t of the k-th 64 bytes is byte 4k + t of that row (core/base/words.h says what they are).
 *
 * A plane of `bits` bits holds part of 32 inputs of 16 rows in `bits` vectors of 64 bytes. Group g is the inputs
 * 4g .. 4g + 3, g = 0..7; byte 4 * row + t of vector g % bits holds input 4g + t of that row, from bit
 * g / bits * bits on. The planes of a sub-block, in this order (numbers are unsigned, the lowest value is 0):
 *
 *   q8_0                     8 bits: w + 128
 *   q4_0, q4_1, q4_k, iq4_nl, iq4_xs 4 bits (one and, or one shift and one and, give a group of 16 rows)
 *   q5_0, q5_1, q5_k         1 bit: bit 4 of the numbers; 4 bits: bits 0..3
 *   q6_k                     2 bits: bits 4 and 5; 4 bits: bits 0..3
 *   q3_k, iq3_nl             1 bit: bit 2; 2 bits: bits 0 and 1
 *   q2_k, tq2_0              2 bits
 *
 * So a vector kernel unpacks a group with at most two shifts, two ands and an or, for all 16 rows: the high bits
 * of group g come to their place by one shift of the same 64 bytes for every g, and no bit crosses a byte, so that
 * shifts of 16-bit lanes do. The sub-blocks of a super-block are alike and lie one after the other, each
 * read once and in order, where GGUF spreads them over each other's bytes: the loader of q4_0 serves q4_k,
 * that of q5_0 q5_k. The small scales stay in GGUF's bytes, because there too, four bytes of 16 rows are 64 bytes
 * from which ands and shifts give the scales of four sub-blocks of 16 rows at once (see tini_group_of):
 *
 *   q4_k, q5_k   A, B, C = bytes 0..3, 4..7, 8..11. scales 0..3 = A & 63, 4..7 = (C & 15) | (A >> 2 & 48);
 *                minimums 0..3 = B & 63, 4..7 = (C >> 4 & 15) | (B >> 2 & 48)
 *   q3_k         scales 0..3 = (A & 15) | (C << 4 & 48), 4..7 = (B & 15) | (C << 2 & 48), 8..11 = (A >> 4 & 15) |
 *                (C & 48), 12..15 = (B >> 4 & 15) | (C >> 2 & 48), each less 32
 *   iq4_xs       scale s = (byte 2 + s / 2 >> 4 (s % 2) & 15) | (byte s / 4 >> 2 (s % 4) & 3) << 4, less 32
 *   q6_k, q2_k   byte g is that of inputs 16g .. 16g + 15: a signed scale; a scale (low) and a minimum (high)
 *
 * The mapping is a bijection on whole tensors: unpack(pack(x)) == x, byte for byte.
 */
#ifndef TINI_PACK_H
#define TINI_PACK_H

#include <stddef.h>
#include <stdint.h>

/* GGUF bytes of `rows` x `inputs`; 0 when the format is unknown, inputs is not a multiple of its block, or they are more
 * than memory can have. */
size_t tini_gguf_size(int format, uint32_t rows, uint32_t inputs);

/* Packed bytes: the same with rows rounded up to 16; 0 as above. */
size_t tini_packed_size(int format, uint32_t rows, uint32_t inputs);

/* Bytes of as many floats; 0 as above. */
size_t tini_floats_size(uint32_t rows, uint32_t inputs);

/* GGUF rows to tiles. `row_order`, when not NULL, names for each packed row the source row it takes. Returns 0,
 * or -1 where a size is 0. */
int tini_pack(int format, uint8_t *packed, const uint8_t *gguf, uint32_t rows, uint32_t inputs,
              const uint32_t *row_order);

/* Tiles back to GGUF rows; row_order as given to tini_pack. */
int tini_unpack(int format, uint8_t *gguf, const uint8_t *packed, uint32_t rows, uint32_t inputs,
                const uint32_t *row_order);

/* Blocks as those of another format that hold the same weights. Returns 0; -1 where a size is 0 or the formats differ in
 * more than their numbers; -2 where a weight is none of `to`'s. */
int tini_restate(int to, uint8_t *out, int from, const uint8_t *gguf, uint32_t rows, uint32_t inputs);

/* GGUF blocks to floats, exactly as llama.cpp defines the formats. */
int tini_dequantize(int format, float *out, const uint8_t *gguf, uint32_t rows, uint32_t inputs);

/* Floats to GGUF blocks [rows][inputs]. `importance`, when not NULL, weighs the squared error of each input
 * column ([inputs], >= 0). Scales minimize the (weighted) squared error of the block. Returns 0; -1
 * where a size is 0; -2 where a value is not finite or too large for the format. */
int tini_quantize(int format, uint8_t *gguf, const float *x, uint32_t rows, uint32_t inputs,
                  const float *importance);

/* The same with error feedback (feedback.c). x [rows][inputs] is used up; factor [inputs][inputs]: the upper triangular U of
 * U^T U = H^-1, H the mean of x x^T over a matrix's inputs x, what is under its diagonal is not read; cost [inputs]:
 * for the function's use. Formats without blocks are as tini_quantize makes them. Returns 0; -1 and -2 as there; -3 where a
 * number on the diagonal is not above 0. */
int tini_quantize_feedback(int format, uint8_t *gguf, float *x, uint32_t rows, uint32_t inputs,
                           const float *factor, float *cost);

#endif
