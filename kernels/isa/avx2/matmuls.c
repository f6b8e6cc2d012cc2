#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include "../x86/matmuls.h"
#include "blocks.h"
#include "floats.h"

TINI_REGION_AVX2

TIN_FORMATS(TINI_LARGE_MATMUL, avx2, tini_avx2_matmul)

TINI_REGION_END
#endif
