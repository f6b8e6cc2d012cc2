/* AVX-VNNI, on x86-64. */
#ifndef TINI_AVXVNNI_SET_H
#define TINI_AVXVNNI_SET_H

#include "../avx2/set.h"

#if TIN_HAVE_AVX2 && \
    (defined(__clang__) ? __clang_major__ >= 13 : __GNUC__ >= 11) /* older compilers do not know it */
#define TIN_HAVE_AVXVNNI 1
#else
#define TIN_HAVE_AVXVNNI 0
#endif

#define TINI_AVXVNNI_FEATURES "avx2,f16c,avxvnni"
#define TINI_REGION_AVXVNNI TINI_TARGET(TINI_AVXVNNI_FEATURES)

#define TIN_KERNELS_avxvnni(X) TIN_FORMATS(TINI_HAS_PLANES_MATMUL, X, avxvnni) X(half_q8_0, avxvnni)

#define TIN_RATE_avxvnni 36.0, 24.0, 8.0

/* Whether this processor, under this system, runs it. */
int tini_runs_avxvnni(void);

#endif
