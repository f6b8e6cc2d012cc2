/* ARM64's products of int8 matrices: SMMLA and USMMLA. */
#ifndef TINI_NEONI8MM_SET_H
#define TINI_NEONI8MM_SET_H

#include "../neon/set.h"

#define TIN_HAVE_NEONI8MM TIN_HAVE_NEON

#if defined(__clang__)
#define TINI_NEONI8MM_FEATURES "dotprod,i8mm"
#else
#define TINI_NEONI8MM_FEATURES "+dotprod+i8mm"
#endif
#define TINI_REGION_NEONI8MM TINI_TARGET(TINI_NEONI8MM_FEATURES)

/* The matmuls of formats with a minimum or a scale for each 16 inputs stay neondot's: what they do besides the products
 * leaves less for SMMLA to save than their code would take (docs/decisions/kernel-limits.md). */
#define TINI_NEONI8MM_LEAVES_q4_1 TINI_LISTED
#define TINI_NEONI8MM_LEAVES_q5_1 TINI_LISTED
#define TINI_NEONI8MM_LEAVES_q4_k TINI_LISTED
#define TINI_NEONI8MM_LEAVES_q5_k TINI_LISTED
#define TINI_NEONI8MM_LEAVES_q6_k TINI_LISTED
#define TINI_NEONI8MM_LEAVES_q3_k TINI_LISTED
#define TINI_NEONI8MM_LEAVES_q2_k TINI_LISTED
#define TINI_NEONI8MM_HAS(X, set, id, gguf, NAME, name, block, bytes, activations, ...) \
    TINI_UNLESS(TINI_NEONI8MM_LEAVES_##name)                                            \
    (TINI_HAS_PLANES_MATMUL(X, set, id, gguf, NAME, name, block, bytes, activations, ))
#define TIN_KERNELS_neoni8mm(X) TIN_FORMATS(TINI_NEONI8MM_HAS, X, neoni8mm) X(half_q8_0, neoni8mm)

#define TIN_RATE_neoni8mm 13.0, 7.0, 3.0

/* Whether this processor, under this system, runs it. */
int tini_runs_neoni8mm(void);

#endif
