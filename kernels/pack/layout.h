/* How the GGUF blocks of a format are laid out. */
#ifndef TINI_LAYOUT_H
#define TINI_LAYOUT_H

#include "../core/base/formats.h"

#include <stdint.h>

/* Input i is in byte i % stride of its run of stride bytes (see tini_plane_read). */
typedef struct tini_plane {
    uint32_t at; /* byte of the block */
    uint32_t stride;
} tini_plane;

typedef struct tini_layout {
    uint32_t inputs; /* inputs a block */
    uint32_t bytes;  /* GGUF bytes a block */
    /* Of formats that read q8 activations; the sizes of these parts are tini_kind's. */
    uint32_t halves, scales;
    tini_plane low, high; /* low: of formats of words, where these begin */
    uint8_t flip;         /* XORed onto the numbers of the low plane */
} tini_layout;

/* All zero when the format is unknown. */
static inline tini_layout tini_layout_of(int format) {
    tini_layout layout = {0};
    switch (format) {
    case TINI_FORMAT_Q8_0:
        layout = (tini_layout){.low = {2, 32}, .flip = 0x80};
        break;
    case TINI_FORMAT_Q4_0:
    case TINI_FORMAT_IQ4_NL:
        layout = (tini_layout){.low = {2, 16}};
        break;
    case TINI_FORMAT_Q4_1:
        layout = (tini_layout){.low = {4, 16}};
        break;
    case TINI_FORMAT_Q5_0:
        layout = (tini_layout){.high = {2, 1}, .low = {6, 16}};
        break;
    case TINI_FORMAT_IQ3_NL:
        layout = (tini_layout){.high = {2, 1}, .low = {6, 8}};
        break;
    case TINI_FORMAT_Q5_1:
        layout = (tini_layout){.high = {4, 1}, .low = {8, 16}};
        break;
    case TINI_FORMAT_Q4_K:
        layout = (tini_layout){.scales = 4, .low = {16, 32}};
        break;
    case TINI_FORMAT_Q5_K:
        layout = (tini_layout){.scales = 4, .high = {16, 32}, .low = {48, 32}};
        break;
    case TINI_FORMAT_Q6_K:
        layout = (tini_layout){.low = {0, 64}, .high = {128, 32}, .scales = 192, .halves = 208};
        break;
    case TINI_FORMAT_Q3_K:
        layout = (tini_layout){.high = {0, 32}, .low = {32, 32}, .scales = 96, .halves = 108};
        break;
    case TINI_FORMAT_Q2_K:
        layout = (tini_layout){.scales = 0, .low = {16, 32}, .halves = 80};
        break;
    case TINI_FORMAT_IQ4_XS:
        layout = (tini_layout){.scales = 2, .low = {8, 16}};
        break;
    case TINI_FORMAT_TQ2_0:
        layout = (tini_layout){.low = {0, 32}, .halves = 64};
        break;
    case TINI_FORMAT_TQ1_0:
        layout = (tini_layout){.low = {0, 4}, .halves = 52};
        break;
    case TINI_FORMAT_IQ3_S:
    case TINI_FORMAT_IQ3_XXS:
    case TINI_FORMAT_IQ2_S:
    case TINI_FORMAT_IQ2_XS:
    case TINI_FORMAT_IQ2_XXS:
        layout = (tini_layout){.low = {2, 4}};
        break;
    }
    switch (format) {
#define TINI_FORMAT_SIZES(a, b, id, gguf, NAME, name, block_inputs, block_bytes, ...) \
    case id:                                                                          \
        layout.inputs = block_inputs;                                                 \
        layout.bytes = block_bytes;                                                   \
        break;
        TIN_FORMATS(TINI_FORMAT_SIZES, , )
    }
    return layout;
}

#endif
