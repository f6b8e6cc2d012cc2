/* Includes TINI_SET_FILE once for each of TINI_SETS (sets.h), in the region of its instructions. The file finds TINI_SET, the
 * set's name, TINI_LANES, how many floats its registers hold, and TINI_OF(name), a name of the set's own. */
#define TINI_OF(name) TINI_JOIN(name, TINI_SET)
#define TINI_JOIN(name, set) TINI_JOINED(name, set)
#define TINI_JOINED(name, set) name##_##set

TINI_REGION_SCALAR
#define TINI_SET scalar
#define TINI_LANES 4
#include TINI_SET_FILE
#undef TINI_SET
#undef TINI_LANES
TINI_REGION_END

#if TIN_HAVE_AVX2
TINI_REGION_AVX2
#define TINI_SET avx2
#define TINI_LANES 8
#include TINI_SET_FILE
#undef TINI_SET
#undef TINI_LANES
TINI_REGION_END
#endif

#if TIN_HAVE_AVX512VNNI
TINI_REGION_AVX512VNNI
#define TINI_SET avx512vnni
#define TINI_LANES 16
#include TINI_SET_FILE
#undef TINI_SET
#undef TINI_LANES
TINI_REGION_END
#endif

#undef TINI_JOINED
#undef TINI_JOIN
#undef TINI_OF
