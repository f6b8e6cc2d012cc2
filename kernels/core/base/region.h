/* Code regions: which instructions a stretch of source may use, and float arithmetic that never fuses or
 * reorders.
 *
 * The guards stand in the source rather than in build flags, so that the bits hold whatever flags the code (or
 * its one-file amalgamation) is compiled with. Use: include every header, then TINI_REGION_<SET>, the
 * functions, TINI_REGION_END.
 */
#ifndef TINI_REGION_H
#define TINI_REGION_H

#include <float.h>

#include "../../isa.def"

#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || \
    defined(_M_FP_FAST)
#error "tinsmith promises the same bits everywhere: compile it without -ffast-math, -Ofast or /fp:fast"
#endif
/* 16, of processors with AVX512-FP16, is as 0 but for _Float16. */
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "tinsmith needs float arithmetic without excess precision: on 32-bit x86 add -msse2 -mfpmath=sse"
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tinsmith runs on little-endian machines: a .tin's weights are used in place"
#endif

#define TINI_PRAGMA(x) _Pragma(#x)

#if defined(__clang__)
/* The contraction pragma holds to the end of the file, which is as wide as the promise. Clang obeys it unless it is given
 * -ffp-contract=fast, which overrules the source. */
#define TINI_NO_FUSING TINI_PRAGMA(clang fp contract(off))
#define TINI_TARGET(features) \
    TINI_NO_FUSING TINI_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define TINI_REGION_SCALAR TINI_NO_FUSING TINI_PRAGMA(clang attribute push)
#define TINI_REGION_END TINI_PRAGMA(clang attribute pop)
#elif defined(__GNUC__)
/* GCC ignores STDC FP_CONTRACT and, in its gnu modes, fuses even separate multiply and add intrinsics. */
#define TINI_REGION_SCALAR TINI_PRAGMA(GCC push_options) TINI_PRAGMA(GCC optimize("fp-contract=off"))
#define TINI_TARGET(features) TINI_REGION_SCALAR TINI_PRAGMA(GCC target(features))
#define TINI_REGION_END TINI_PRAGMA(GCC pop_options)
#elif defined(_MSC_VER)
#define TINI_REGION_SCALAR __pragma(fp_contract(off))
#define TINI_REGION_END
#else
#define TINI_REGION_SCALAR TINI_PRAGMA(STDC FP_CONTRACT OFF)
#define TINI_REGION_END
#endif

/* What runs seldom, or never where vector kernels do: small rather than fast, whatever the flags. */
#if defined(__clang__)
#define TINI_REGION_COLD TINI_PRAGMA(clang attribute push(__attribute__((minsize)), apply_to = function))
#elif defined(__GNUC__) && \
    defined(__OPTIMIZE__) /* else headers of intrinsics would take all that follows as optimized */
#define TINI_REGION_COLD TINI_PRAGMA(GCC push_options) TINI_PRAGMA(GCC optimize("Os"))
#elif defined(__GNUC__)
#define TINI_REGION_COLD TINI_PRAGMA(GCC push_options)
#else
#define TINI_REGION_COLD
#endif
#if defined(__clang__) && TIN_HAVE_NEON
#define TINI_REGION_REFERENCE \
    TINI_NO_FUSING TINI_PRAGMA(clang attribute push(__attribute__((minsize)), apply_to = function))
#else
#define TINI_REGION_REFERENCE TINI_REGION_SCALAR
#endif

/* Inlined even where the compiler would rather not: kernel bodies whose counts are constants at each call. */
#if defined(__GNUC__) || defined(__clang__)
#define TINI_INLINE static inline __attribute__((always_inline))
#elif defined(_MSC_VER)
#define TINI_INLINE static __forceinline
#else
#define TINI_INLINE static inline
#endif

/* One copy a file, however often it is called. */
#if defined(__clang__)
#define TINI_NOINLINE static __attribute__((noinline))
#elif defined(__GNUC__)
#define TINI_NOINLINE static __attribute__((noinline, noclone))
#else
#define TINI_NOINLINE static
#endif

/* Before a loop of few, constant rounds: unrolled at any level of optimization, so that arrays become registers. */
#if defined(__clang__)
#define TINI_UNROLL TINI_PRAGMA(clang loop unroll(full))
#elif defined(__GNUC__)
#define TINI_UNROLL TINI_PRAGMA(GCC unroll 16)
#else
#define TINI_UNROLL
#endif

/* Before a loop that shall stay one, at any level: for size. */
#if defined(__clang__)
#define TINI_ROLLED TINI_PRAGMA(clang loop vectorize(disable) unroll(disable))
#elif defined(__GNUC__)
#define TINI_ROLLED TINI_PRAGMA(GCC unroll 1)
#else
#define TINI_ROLLED
#endif

#endif
