#include "../../core/base/region.h"
#if TIN_HAVE_ARMDSP
#include "../scalar/half.h"
#include "blocks.h"

TINI_REGION_ARMDSP

TIN_FORMATS(TINI_Q8_MATMUL, armdsp, tini_armdsp_matmul)

TINI_HALF_Q8_0(armdsp)

TINI_REGION_END
#endif
