#include "../../core/base/region.h"
#if TIN_HAVE_MVE
#include "../scalar/half.h"
#include "blocks.h"

TINI_REGION_MVE

TIN_FORMATS(TINI_Q8_MATMUL, mve, tini_mve_matmul)

TINI_HALF_Q8_0(mve)

TINI_REGION_END
#endif
