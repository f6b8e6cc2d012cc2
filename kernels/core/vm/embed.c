#include "embed.h"
#include "../base/quants.h"

#include <string.h>

static float half_at(const uint8_t *p) {
    uint16_t bits;
    memcpy(&bits, p, sizeof bits);
    return tini_f16_to_f32(bits);
}

static void unpack_f32(float *out, const uint8_t *tile, uint32_t lane, uint32_t inputs) {
    for (uint32_t i = 0; i < inputs; i++)
        memcpy(&out[i], tile + (i * TINI_TILE + lane) * 4, 4);
}

static void unpack_f16(float *out, const uint8_t *tile, uint32_t lane, uint32_t inputs) {
    for (uint32_t i = 0; i < inputs; i++)
        out[i] = half_at(tile + (i * TINI_TILE + lane) * 2);
}

static void unpack_bf16(float *out, const uint8_t *tile, uint32_t lane, uint32_t inputs) {
    for (uint32_t i = 0; i < inputs; i++) {
        uint16_t bits;
        memcpy(&bits, tile + (i * TINI_TILE + lane) * 2, 2);
        out[i] = tini_bf16_to_f32(bits);
    }
}

static void unpack_blocks(uint32_t format, float *out, const uint8_t *tile, uint32_t lane, uint32_t inputs) {
    const tini_kind kind = tini_kind_of((int)format);
    for (uint32_t i = 0; i < inputs; i += kind.inputs, tile += TINI_TILE * tini_kind_bytes(&kind)) {
        tini_quants w;
        tini_quants_from_tile(&w, tile, lane, (int)format);
        tini_quants_floats(out + i, &w, (int)format);
    }
}

void tini_unpack_row(uint32_t format, float *out, const uint8_t *packed, uint32_t row, uint32_t inputs) {
    const size_t above = row / TINI_TILE * TINI_TILE; /* rows of the tiles before */
    const uint32_t lane = row % TINI_TILE;
    switch (format) {
    case TINI_FORMAT_F32:
        unpack_f32(out, packed + above * inputs * 4, lane, inputs);
        break;
    case TINI_FORMAT_F16:
        unpack_f16(out, packed + above * inputs * 2, lane, inputs);
        break;
    case TINI_FORMAT_BF16:
        unpack_bf16(out, packed + above * inputs * 2, lane, inputs);
        break;
    default: {
        const tini_kind kind = tini_kind_of((int)format);
        /* The format was checked when the program was opened. */
        /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero) */
        unpack_blocks(format, out, packed + above * (inputs / kind.inputs) * tini_kind_bytes(&kind), lane,
                      inputs);
    }
    }
}

TINI_REGION_SCALAR

void tini_add_unpacked(uint32_t format, float *out, const uint8_t *packed, uint32_t row, uint32_t inputs,
                       float weight) {
    const size_t bytes = format == TINI_FORMAT_F32 ? 4 : 2;
    packed += row / TINI_TILE * TINI_TILE * inputs * bytes + row % TINI_TILE * bytes;
    for (uint32_t i = 0; i < inputs; i++, packed += TINI_TILE * bytes) {
        float x = format == TINI_FORMAT_F32   ? tini_load_f32(packed)
                  : format == TINI_FORMAT_F16 ? tini_f16_to_f32(tini_load_u16(packed))
                                              : tini_bf16_to_f32(tini_load_u16(packed));
        out[i] = out[i] + weight * x;
    }
}

TINI_REGION_END
