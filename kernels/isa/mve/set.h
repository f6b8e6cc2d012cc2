/* Cortex-M's MVE (Helium), its integers. As with armdsp, a build is for what the compiler was told. */
#ifndef TINI_MVE_SET_H
#define TINI_MVE_SET_H

#include "../armdsp/set.h"

#if TIN_HAVE_ARMDSP && defined(__ARM_FEATURE_MVE)
#if __ARM_FEATURE_MVE & 2
#error "MVE's floats flush denormals, which changes results; build without them: -mcpu=cortex-m55+nomve.fp"
#endif
#define TIN_HAVE_MVE 1
#else
#define TIN_HAVE_MVE 0
#endif

#define TINI_REGION_MVE TINI_REGION_SCALAR

#define TIN_KERNELS_mve(X) TIN_FORMATS(TINI_HAS_Q8_MATMUL, X, mve) X(half_q8_0, mve)

#define TIN_RATE_mve 1.0, 1.0, 0.3

/* Whether this processor, under this system, runs it. */
int tini_runs_mve(void);

#endif
