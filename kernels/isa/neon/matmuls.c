#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include "blocks.h"
#include "floats.h"

TINI_REGION_NEON

TIN_FORMATS(TINI_MATMUL, neon, tini_neon_matmul)

TINI_REGION_END
#endif
