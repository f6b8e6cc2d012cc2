#include "../../core/base/region.h"
#if TIN_HAVE_AVXVNNI
#include "../x86/matmuls.h"
#include "blocks.h"

TINI_REGION_AVXVNNI

TIN_FORMATS(TINI_SMALL_MATMUL, avxvnni, tini_avxvnni_matmul)

TINI_REGION_END
#endif
