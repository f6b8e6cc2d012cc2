#include "pack.h"
#include "layout.h"
#include "../core/kernel.h"
#include "../core/math.h"

/* Bytes of `rows` rows; 0 when the format is unknown or a row is not whole blocks. */
static size_t tini_rows_size(int format, size_t rows, uint32_t inputs) {
    tini_layout layout = tini_layout_of(format);
    return layout.inputs && inputs % layout.inputs == 0 ? rows * (inputs / layout.inputs) * layout.bytes : 0;
}

size_t tini_gguf_size(int format, uint32_t rows, uint32_t inputs) {
    return tini_rows_size(format, rows, inputs);
}

size_t tini_packed_size(int format, uint32_t rows, uint32_t inputs) {
    return tini_rows_size(format, ((size_t)rows + TINI_TILE - 1) / TINI_TILE * TINI_TILE, inputs);
}

/* A tile's block is its rows' headers, two bytes of each row at a time, then their other bytes, four at a time.
 */
static void tini_block_to_tile(const tini_layout *layout, uint8_t *tile, uint32_t lane, const uint8_t *block) {
    for (uint32_t k = 0; k < layout->header; k += 2)
        memcpy(tile + k * TINI_TILE + lane * 2, block + k, 2);
    for (uint32_t k = layout->header; k < layout->bytes; k += 4) {
        uint32_t four;
        memcpy(&four, block + k, 4);
        four ^= layout->flip;
        memcpy(tile + k * TINI_TILE + lane * 4, &four, 4);
    }
}

static void tini_block_from_tile(const tini_layout *layout, uint8_t *block, const uint8_t *tile,
                                 uint32_t lane) {
    for (uint32_t k = 0; k < layout->header; k += 2)
        memcpy(block + k, tile + k * TINI_TILE + lane * 2, 2);
    for (uint32_t k = layout->header; k < layout->bytes; k += 4) {
        uint32_t four;
        memcpy(&four, tile + k * TINI_TILE + lane * 4, 4);
        four ^= layout->flip;
        memcpy(block + k, &four, 4);
    }
}

int tini_pack(int format, uint8_t *packed, const uint8_t *gguf, uint32_t rows, uint32_t inputs,
              const uint32_t *row_order) {
    tini_layout layout = tini_layout_of(format);
    size_t packed_bytes = tini_packed_size(format, rows, inputs), row_bytes = tini_gguf_size(format, 1, inputs);
    if (packed_bytes == 0)
        return -1;
    uint32_t last = rows % TINI_TILE;
    if (last) /* rows past the end are zero bytes */
        memset(packed + packed_bytes - TINI_TILE * row_bytes, 0, TINI_TILE * row_bytes);
    for (uint32_t row = 0; row < rows; row++) {
        const uint8_t *source = gguf + (row_order ? row_order[row] : row) * row_bytes;
        uint8_t *tile = packed + row / TINI_TILE * TINI_TILE * row_bytes;
        for (size_t at = 0; at < row_bytes; at += layout.bytes)
            tini_block_to_tile(&layout, tile + at * TINI_TILE, row % TINI_TILE, source + at);
    }
    return 0;
}

int tini_unpack(int format, uint8_t *gguf, const uint8_t *packed, uint32_t rows, uint32_t inputs,
                const uint32_t *row_order) {
    tini_layout layout = tini_layout_of(format);
    size_t row_bytes = tini_gguf_size(format, 1, inputs);
    if (tini_packed_size(format, rows, inputs) == 0)
        return -1;
    for (uint32_t row = 0; row < rows; row++) {
        uint8_t *target = gguf + (row_order ? row_order[row] : row) * row_bytes;
        const uint8_t *tile = packed + row / TINI_TILE * TINI_TILE * row_bytes;
        for (size_t at = 0; at < row_bytes; at += layout.bytes)
            tini_block_from_tile(&layout, target + at, tile + at * TINI_TILE, row % TINI_TILE);
    }
    return 0;
}

TINI_REGION_SCALAR

static void tini_dequantize_block(int format, float *out, const uint8_t *block) {
    switch (format) {
    case TINI_FORMAT_F32:
        out[0] = tini_load_f32(block);
        break;
    case TINI_FORMAT_F16:
        out[0] = tini_f16_to_f32(tini_load_u16(block));
        break;
    case TINI_FORMAT_BF16:
        out[0] = tini_bf16_to_f32(tini_load_u16(block));
        break;
    case TINI_FORMAT_Q8_0: {
        float d = tini_f16_to_f32(tini_load_u16(block));
        for (uint32_t i = 0; i < 32; i++)
            out[i] = (float)(int8_t)block[2 + i] * d;
        break;
    }
    case TINI_FORMAT_Q4_0: {
        float d = tini_f16_to_f32(tini_load_u16(block));
        for (uint32_t i = 0; i < 16; i++) {
            out[i] = (float)((block[2 + i] & 15) - 8) * d;
            out[i + 16] = (float)((block[2 + i] >> 4) - 8) * d;
        }
        break;
    }
    case TINI_FORMAT_Q4_1: {
        float d = tini_f16_to_f32(tini_load_u16(block)), minimum = tini_f16_to_f32(tini_load_u16(block + 2));
        for (uint32_t i = 0; i < 16; i++) {
            out[i] = (float)(block[4 + i] & 15) * d + minimum;
            out[i + 16] = (float)(block[4 + i] >> 4) * d + minimum;
        }
        break;
    }
    }
}

int tini_dequantize(int format, float *out, const uint8_t *gguf, uint32_t rows, uint32_t inputs) {
    tini_layout layout = tini_layout_of(format);
    size_t bytes = tini_gguf_size(format, rows, inputs);
    if (bytes == 0)
        return -1;
    for (size_t at = 0; at < bytes; at += layout.bytes, out += layout.inputs)
        tini_dequantize_block(format, out, gguf + at);
    return 0;
}

TINI_REGION_END
