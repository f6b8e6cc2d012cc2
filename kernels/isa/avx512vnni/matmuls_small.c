#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "../x86/matmuls.h"
#include "blocks.h"

TINI_REGION_AVX512VNNI

TIN_FORMATS(TINI_SMALL_MATMUL, avx512vnni, tini_avx512_matmul)

TINI_REGION_END
#endif
