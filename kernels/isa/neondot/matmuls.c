#include "../../core/base/region.h"
#if TIN_HAVE_NEONDOT
#include "blocks.h"

TINI_REGION_NEONDOT

TIN_FORMATS(TINI_Q8_MATMUL, neondot, tini_neondot_matmul)

TINI_REGION_END
#endif
