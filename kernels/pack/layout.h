/* How the GGUF blocks of a format are laid out. */
#ifndef TINI_LAYOUT_H
#define TINI_LAYOUT_H

#include "../core/program.h"

typedef struct tini_layout {
    uint32_t inputs; /* inputs a block */
    uint32_t bytes;  /* GGUF bytes a block */
    uint32_t header; /* leading bytes that hold float16 values: scale, minimum */
    uint32_t flip;   /* XORed onto each four of the other bytes */
} tini_layout;

/* All zero when the format is unknown. */
static inline tini_layout tini_layout_of(int format) {
    tini_layout layout = {0, 0, 0, 0};
    switch (format) {
#define TIN_FORMAT(id, gguf, NAME, name, block_inputs, block_bytes, activations) \
    case id:                                                                     \
        layout.inputs = block_inputs;                                            \
        layout.bytes = block_bytes;                                              \
        break;
#include "../formats.def"
#undef TIN_FORMAT
    }
    if (format == TINI_FORMAT_Q4_1)
        layout.header = 4;
    else if (layout.bytes % 4 == 2)
        layout.header = 2;
    if (format == TINI_FORMAT_Q8_0)
        layout.flip = 0x80808080u;
    return layout;
}

#endif
