#include "../../core/base/region.h"
#if TIN_HAVE_MVE
#include "blocks.h"

TINI_REGION_MVE

TIN_FORMATS(TINI_Q8_MATMUL, mve, tini_mve_matmul)

TINI_REGION_END
#endif
