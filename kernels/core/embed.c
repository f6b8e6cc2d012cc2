#include "embed.h"
#include "kernel.h"
#include "math.h"
#include "program.h"

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

static void unpack_q8_0(float *out, const uint8_t *tile, uint32_t lane, uint32_t inputs) {
    for (uint32_t b = 0; b < inputs / TINI_BLOCK; b++, tile += TINI_TILE * 34) {
        float scale = half_at(tile + 2 * lane);
        const uint8_t *q = tile + 2 * TINI_TILE;
        for (uint32_t i = 0; i < TINI_BLOCK; i++)
            out[b * TINI_BLOCK + i] = scale * (float)(int8_t)(q[i / 4 * 64 + lane * 4 + i % 4] ^ 0x80);
    }
}

/* The four-bit value of input i of a block. */
static uint32_t nibble(const uint8_t *q, uint32_t lane, uint32_t i) {
    uint8_t both = q[i % 16 / 4 * 64 + lane * 4 + i % 4];
    return i < 16 ? both & 15u : both >> 4;
}

static void unpack_q4_0(float *out, const uint8_t *tile, uint32_t lane, uint32_t inputs) {
    for (uint32_t b = 0; b < inputs / TINI_BLOCK; b++, tile += TINI_TILE * 18) {
        float scale = half_at(tile + 2 * lane);
        for (uint32_t i = 0; i < TINI_BLOCK; i++)
            out[b * TINI_BLOCK + i] = scale * (float)((int32_t)nibble(tile + 2 * TINI_TILE, lane, i) - 8);
    }
}

static void unpack_q4_1(float *out, const uint8_t *tile, uint32_t lane, uint32_t inputs) {
    for (uint32_t b = 0; b < inputs / TINI_BLOCK; b++, tile += TINI_TILE * 20) {
        float scale = half_at(tile + 2 * lane), minimum = half_at(tile + 2 * TINI_TILE + 2 * lane);
        for (uint32_t i = 0; i < TINI_BLOCK; i++)
            out[b * TINI_BLOCK + i] = scale * (float)nibble(tile + 4 * TINI_TILE, lane, i) + minimum;
    }
}

void tini_unpack_row(uint32_t format, float *out, const uint8_t *packed, uint32_t row, uint32_t inputs) {
    const uint8_t *tile = packed + row / TINI_TILE * tini_tensor_bytes(format, TINI_TILE, inputs);
    switch (format) {
#define TIN_FORMAT(id, gguf, NAME, name, block, bytes, activations) \
    case id:                                                        \
        unpack_##name(out, tile, row % TINI_TILE, inputs);          \
        break;
#include "../formats.def"
#undef TIN_FORMAT
    }
}
