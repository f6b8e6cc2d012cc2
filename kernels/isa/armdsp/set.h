/* Cortex-M's DSP extension. Its processors can't be asked, so a build is for what the compiler was told. */
#ifndef TINI_ARMDSP_SET_H
#define TINI_ARMDSP_SET_H

#if !defined(TIN_SCALAR_ONLY) && defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_SIMD32) && \
    __ARM_ARCH_PROFILE == 'M' && !defined(__ARM_BIG_ENDIAN) && (defined(__GNUC__) || defined(__clang__))
#define TIN_HAVE_ARMDSP 1
#else
#define TIN_HAVE_ARMDSP 0
#endif

#define TINI_REGION_ARMDSP TINI_REGION_SCALAR

#define TIN_KERNELS_armdsp(X) TIN_FORMATS(TINI_HAS_Q8_MATMUL, X, armdsp) X(half_q8_0, armdsp)

#define TIN_RATE_armdsp 0.6, 0.6, 0.3

/* Whether this processor, under this system, runs it. */
int tini_runs_armdsp(void);

#endif
