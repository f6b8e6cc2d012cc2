#include "../../core/base/region.h"
#if TIN_HAVE_NEONI8MM
#include "blocks.h"

TINI_REGION_NEONI8MM

#define TINI_NEONI8MM_MATMUL(set, function, id, gguf, NAME, name, block, bytes, activations, ...) \
    TINI_ONLY_##activations(TINI_UNLESS(TINI_NEONI8MM_LEAVES_##name)(                             \
        TINI_MATMUL(set, function, id, gguf, NAME, name, block, bytes, activations, )))
TIN_FORMATS(TINI_NEONI8MM_MATMUL, neoni8mm, tini_neoni8mm_matmul)

TINI_REGION_END
#endif
