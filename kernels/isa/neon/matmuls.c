#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include "../scalar/half.h"
#include "blocks.h"
#include "floats.h"

TINI_REGION_NEON

TIN_FORMATS(TINI_MATMUL, neon, tini_neon_matmul)

TINI_HALF_Q8_0(neon)

TINI_REGION_END
#endif
