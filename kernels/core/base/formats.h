/* Weight formats by number, as formats.def lists them. */
#ifndef TINI_FORMATS_H
#define TINI_FORMATS_H

enum tini_format {
#define TIN_FORMAT(id, gguf, NAME, name, block, bytes, activations) TINI_FORMAT_##NAME = id,
#include "../../formats.def"
#undef TIN_FORMAT
    TINI_FORMAT_COUNT
};

#endif
