/* The build side of the packed layout: GGUF rows to tiles and back, floats to blocks and back.
 *
 * Packed layout. A tensor of `rows` x `inputs` becomes ceil(rows / 16) tiles, one after the other; rows past
 * the end are zero bytes. Inside a tile, for each block of a row's inputs in order:
 *
 *   f32          per input: 16 floats, one a row
 *   f16, bf16    per input: 16 halves, one a row
 *   q8_0         16 float16 scales; then for i = 0..7: for each row: q[4i .. 4i+3] as bytes XOR 0x80
 *   q4_0         16 float16 scales; then for i = 0..3: for each row: the GGUF bytes qs[4i .. 4i+3]
 *                (low nibble: input 4i + t; high nibble: input 16 + 4i + t)
 *   q4_1         16 float16 scales, 16 float16 minimums; then as q4_0
 *
 * The mapping is a bijection on whole tensors: unpack(pack(x)) == x, byte for byte.
 */
#ifndef TINI_PACK_H
#define TINI_PACK_H

#include <stddef.h>
#include <stdint.h>

/* GGUF bytes of `rows` x `inputs`; 0 when the format is unknown or inputs is not a multiple of its block. */
size_t tini_gguf_size(int format, uint32_t rows, uint32_t inputs);

/* Packed bytes: the same with rows rounded up to 16; 0 as above. */
size_t tini_packed_size(int format, uint32_t rows, uint32_t inputs);

/* GGUF rows to tiles. `row_order`, when not NULL, names for each packed row the source row it takes. Returns 0,
 * or -1 where a size is 0. */
int tini_pack(int format, uint8_t *packed, const uint8_t *gguf, uint32_t rows, uint32_t inputs,
              const uint32_t *row_order);

/* Tiles back to GGUF rows; row_order as given to tini_pack. */
int tini_unpack(int format, uint8_t *gguf, const uint8_t *packed, uint32_t rows, uint32_t inputs,
                const uint32_t *row_order);

/* GGUF blocks to floats, exactly as llama.cpp defines the formats. */
int tini_dequantize(int format, float *out, const uint8_t *gguf, uint32_t rows, uint32_t inputs);

/* Floats to GGUF blocks [rows][inputs]. `importance`, when not NULL, weighs the squared error of each input
 * column ([inputs], >= 0). Scales minimize the (weighted) squared error of the block. Returns 0; -1 as above;
 * -2 where a value is not finite or too large for the format. */
int tini_quantize(int format, uint8_t *gguf, const float *x, uint32_t rows, uint32_t inputs,
                  const float *importance);

#endif
