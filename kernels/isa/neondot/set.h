/* ARM64's dot products: SDOT and UDOT. */
#ifndef TINI_NEONDOT_SET_H
#define TINI_NEONDOT_SET_H

#include "../neon/set.h"

#define TIN_HAVE_NEONDOT TIN_HAVE_NEON

#if defined(__clang__)
#define TINI_NEONDOT_FEATURES "dotprod"
#else
#define TINI_NEONDOT_FEATURES "+dotprod"
#endif
#define TINI_REGION_NEONDOT TINI_TARGET(TINI_NEONDOT_FEATURES)

#define TIN_KERNELS_neondot(X)                  \
    TIN_FORMATS(TINI_HAS_Q8_MATMUL, X, neondot) \
    X(half_q8_0, neondot)                       \
    X(attention_q8, neondot)

#define TIN_RATE_neondot 12.0, 7.0, 3.0

/* Whether this processor, under this system, runs it. */
int tini_runs_neondot(void);

#endif
