#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include <immintrin.h>

#include "../../core/base/kernel.h"

TINI_REGION_AVX512VNNI

/* Two tiles at once are slower: what is stored to one and read from the other is 4096 bytes apart. */
#define TINI_LANES __m512
#define TINI_LANES_COUNT 1
#define TINI_LANES_DELTA_ROW tini_avx512_delta_row
#define TINI_LANES_DELTA tini_delta_avx512vnni
#include "../../core/base/delta_lanes.h"

TINI_REGION_END
#endif
