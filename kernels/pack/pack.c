#include "pack.h"
#include "blocks.h"

/* Bytes of `rows` rows; 0 when the format is unknown, a row is not whole blocks, or they are more than memory can have. */
static size_t tini_rows_size(int format, uint64_t rows, uint32_t inputs) {
    tini_layout layout = tini_layout_of(format);
    if (!layout.inputs || inputs % layout.inputs)
        return 0;
    uint64_t row = (uint64_t)(inputs / layout.inputs) * layout.bytes;
    return row && rows <= PTRDIFF_MAX / row ? (size_t)(rows * row) : 0;
}

size_t tini_gguf_size(int format, uint32_t rows, uint32_t inputs) {
    return tini_rows_size(format, rows, inputs);
}

size_t tini_packed_size(int format, uint32_t rows, uint32_t inputs) {
    return tini_rows_size(format, ((uint64_t)rows + TINI_TILE - 1) / TINI_TILE * TINI_TILE, inputs);
}

size_t tini_floats_size(uint32_t rows, uint32_t inputs) {
    return tini_rows_size(TINI_FORMAT_F32, rows, inputs);
}

TINI_REGION_SCALAR

/* The inverse of tini_quants_from_tile. */
TINI_INLINE void tini_quants_to_tile(uint8_t *tile, const tini_quants *w, uint32_t lane, const int format) {
    const tini_kind kind = tini_kind_of(format);
    for (uint32_t k = 0; k < kind.halves / 2; k++, tile += 2 * TINI_TILE)
        memcpy(tile + 2 * lane, &w->half[k], 2);
    for (uint32_t k = 0; k < kind.scales; k++, tile += TINI_TILE)
        tile[lane] = w->scale[k];
    uint8_t fours[32];
    for (uint32_t i = 0; i < kind.inputs; i += TINI_BLOCK) {
        if (kind.high)
            tini_plane_write(fours, w->q + i, TINI_BLOCK, kind.high, 4 * kind.high, kind.low);
        tini_plane_write(fours + 4 * kind.high, w->q + i, TINI_BLOCK, kind.low, 4 * kind.low, 0);
        for (uint32_t k = 0; k < kind.high + kind.low; k++, tile += 4 * TINI_TILE)
            memcpy(tile + 4 * lane, fours + 4 * k, 4);
    }
}

TINI_INLINE void tini_words_to_tile(uint8_t *tile, uint32_t lane, const uint8_t *block, const int format) {
    const tini_layout layout = tini_layout_of(format);
    memcpy(tile + 2 * lane, block + layout.halves, 2);
    for (uint32_t k = 0; k < tini_kind_of(format).words; k++)
        memcpy(tile + TINI_TILE * (2 + 4 * k) + 4 * lane, block + layout.low.at + 4 * k, 4);
}

TINI_INLINE void tini_words_from_tile(uint8_t *block, const uint8_t *tile, uint32_t lane, const int format) {
    const tini_layout layout = tini_layout_of(format);
    memcpy(block + layout.halves, tile + 2 * lane, 2);
    for (uint32_t k = 0; k < tini_kind_of(format).words; k++)
        memcpy(block + layout.low.at + 4 * k, tile + TINI_TILE * (2 + 4 * k) + 4 * lane, 4);
}

/* The formats that read f32 activations have blocks of one number, which stays whole. */
TINI_INLINE void tini_row_to_tile(uint8_t *tile, uint32_t lane, const uint8_t *row, size_t row_bytes,
                                  const int format) {
    const uint32_t bytes = tini_layout_of(format).bytes;
    for (size_t at = 0; at < row_bytes; at += bytes, tile += TINI_TILE * bytes) {
        if (tini_kind_of(format).words) {
            tini_words_to_tile(tile, lane, row + at, format);
        } else if (tini_kind_of(format).inputs) {
            tini_quants w;
            tini_quants_from_gguf(&w, row + at, format);
            tini_quants_to_tile(tile, &w, lane, format);
        } else {
            memcpy(tile + lane * bytes, row + at, bytes);
        }
    }
}

TINI_INLINE void tini_row_from_tile(uint8_t *row, size_t row_bytes, const uint8_t *tile, uint32_t lane,
                                    const int format) {
    const uint32_t bytes = tini_layout_of(format).bytes;
    for (size_t at = 0; at < row_bytes; at += bytes, tile += TINI_TILE * bytes) {
        if (tini_kind_of(format).words) {
            tini_words_from_tile(row + at, tile, lane, format);
        } else if (tini_kind_of(format).inputs) {
            tini_quants w;
            tini_quants_from_tile(&w, tile, lane, format);
            tini_quants_to_gguf(row + at, &w, format);
        } else {
            memcpy(row + at, tile + lane * bytes, bytes);
        }
    }
}

TINI_INLINE void tini_row_floats(float *out, const uint8_t *row, size_t row_bytes, const int format) {
    const tini_layout layout = tini_layout_of(format);
    for (size_t at = 0; at < row_bytes; at += layout.bytes, out += layout.inputs) {
        if (tini_kind_of(format).inputs) {
            tini_quants w;
            tini_quants_from_gguf(&w, row + at, format);
            tini_quants_floats(out, &w, format);
        } else if (format == TINI_FORMAT_F32) {
            out[0] = tini_load_f32(row + at);
        } else {
            uint16_t half = tini_load_u16(row + at);
            out[0] = format == TINI_FORMAT_F16 ? tini_f16_to_f32(half) : tini_bf16_to_f32(half);
        }
    }
}

/* One copy of the loops a format, its layout constant in each. */
#define TINI_FORMAT_LOOPS(a, b, id, gguf, NAME, name, ...)                                               \
    static void tini_pack_##name(uint8_t *tile, uint32_t lane, const uint8_t *row, size_t row_bytes) {   \
        tini_row_to_tile(tile, lane, row, row_bytes, id);                                                \
    }                                                                                                    \
    static void tini_unpack_##name(uint8_t *row, size_t row_bytes, const uint8_t *tile, uint32_t lane) { \
        tini_row_from_tile(row, row_bytes, tile, lane, id);                                              \
    }                                                                                                    \
    static void tini_dequantize_##name(float *out, const uint8_t *row, size_t row_bytes) {               \
        tini_row_floats(out, row, row_bytes, id);                                                        \
    }
TIN_FORMATS(TINI_FORMAT_LOOPS, , )

static const struct {
    void (*pack)(uint8_t *tile, uint32_t lane, const uint8_t *row, size_t row_bytes);
    void (*unpack)(uint8_t *row, size_t row_bytes, const uint8_t *tile, uint32_t lane);
    void (*dequantize)(float *out, const uint8_t *row, size_t row_bytes);
} tini_loops[TINI_FORMAT_COUNT] = {
#define TINI_FORMAT_LOOP(a, b, id, gguf, NAME, name, ...) \
    [id] = {tini_pack_##name, tini_unpack_##name, tini_dequantize_##name},
    TIN_FORMATS(TINI_FORMAT_LOOP, , )};

int tini_pack(int format, uint8_t *packed, const uint8_t *gguf, uint32_t rows, uint32_t inputs,
              const uint32_t *row_order) {
    size_t packed_bytes = tini_packed_size(format, rows, inputs), row_bytes = tini_gguf_size(format, 1, inputs);
    if (packed_bytes == 0)
        return -1;
    if (rows % TINI_TILE) /* rows past the end are zero bytes */
        memset(packed + packed_bytes - TINI_TILE * row_bytes, 0, TINI_TILE * row_bytes);
    for (uint32_t row = 0; row < rows; row++) {
        const uint8_t *source = gguf + (row_order ? row_order[row] : row) * row_bytes;
        uint8_t *tile = packed + row / TINI_TILE * TINI_TILE * row_bytes;
        tini_loops[format].pack(tile, row % TINI_TILE, source, row_bytes);
    }
    return 0;
}

int tini_unpack(int format, uint8_t *gguf, const uint8_t *packed, uint32_t rows, uint32_t inputs,
                const uint32_t *row_order) {
    size_t row_bytes = tini_gguf_size(format, 1, inputs);
    if (tini_packed_size(format, rows, inputs) == 0)
        return -1;
    for (uint32_t row = 0; row < rows; row++) {
        uint8_t *target = gguf + (row_order ? row_order[row] : row) * row_bytes;
        const uint8_t *tile = packed + row / TINI_TILE * TINI_TILE * row_bytes;
        tini_loops[format].unpack(target, row_bytes, tile, row % TINI_TILE);
    }
    return 0;
}

int tini_restate(int to, uint8_t *out, int from, const uint8_t *gguf, uint32_t rows, uint32_t inputs) {
    const tini_kind source = tini_kind_of(from), target = tini_kind_of(to);
    const size_t size = tini_gguf_size(from, rows, inputs);
    if (size == 0 || tini_gguf_size(to, rows, inputs) == 0 || source.inputs != TINI_BLOCK ||
        target.inputs != TINI_BLOCK || source.halves != target.halves)
        return -1;
    const uint32_t none = 256;
    uint32_t places[256];
    for (uint32_t k = 0; k < 256; k++)
        places[k] = none;
    for (uint32_t q = 0; q < 1u << (target.low + target.high); q++)
        places[(uint8_t)tini_whole((uint8_t)q, &target)] = q;
    for (const uint8_t *end = gguf + size; gguf < end;
         gguf += tini_kind_bytes(&source), out += tini_kind_bytes(&target)) {
        tini_quants w;
        tini_quants_from_gguf(&w, gguf, from);
        for (uint32_t i = 0; i < TINI_BLOCK; i++) {
            const uint32_t place = places[(uint8_t)tini_whole(w.q[i], &source)];
            if (place == none)
                return -2;
            w.q[i] = (uint8_t)place;
        }
        tini_quants_to_gguf(out, &w, to);
    }
    return 0;
}

int tini_dequantize(int format, float *out, const uint8_t *gguf, uint32_t rows, uint32_t inputs) {
    size_t bytes = tini_gguf_size(format, rows, inputs);
    if (bytes == 0)
        return -1;
    tini_loops[format].dequantize(out, gguf, bytes);
    return 0;
}

TINI_REGION_END
