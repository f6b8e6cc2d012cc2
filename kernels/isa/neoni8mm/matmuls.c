#include "../../core/base/region.h"
#if TIN_HAVE_NEONI8MM
#include "../scalar/half.h"
#include "blocks.h"

TINI_REGION_NEONI8MM

#define TINI_NEONI8MM_MATMUL(set, function, id, gguf, NAME, name, ...) \
    TINI_UNLESS(TINI_NEONI8MM_LEAVES_##name)                           \
    (TINI_PLANES_MATMUL(set, function, id, gguf, NAME, name, __VA_ARGS__))
TIN_FORMATS(TINI_NEONI8MM_MATMUL, neoni8mm, tini_neoni8mm_matmul)

TINI_HALF_Q8_0(neoni8mm)

TINI_REGION_END
#endif
