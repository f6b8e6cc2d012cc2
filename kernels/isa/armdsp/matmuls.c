#include "../../core/base/region.h"
#if TIN_HAVE_ARMDSP
#include "blocks.h"

TINI_REGION_ARMDSP

TIN_FORMATS(TINI_Q8_MATMUL, armdsp, tini_armdsp_matmul)

TINI_REGION_END
#endif
