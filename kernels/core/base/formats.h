/* Weight formats by number, as formats.def lists them. */
#ifndef TINI_FORMATS_H
#define TINI_FORMATS_H

#include "../../formats.def"

#define TINI_FORMAT_ID(a, b, id, gguf, NAME, ...) TINI_FORMAT_##NAME = id,
enum tini_format { TIN_FORMATS(TINI_FORMAT_ID, , ) TINI_FORMAT_COUNT };

#endif
