#include "../../core/base/region.h"
#if TIN_HAVE_NEONDOT
#include "../scalar/half.h"
#include "blocks.h"

TINI_REGION_NEONDOT

TIN_FORMATS(TINI_Q8_MATMUL, neondot, tini_neondot_matmul)

TINI_HALF_Q8_0(neondot)

TINI_REGION_END
#endif
