/* The NEON vocabulary: loads. */
#ifndef TINI_NEON_ROWS_H
#define TINI_NEON_ROWS_H

#include <arm_neon.h>

#include "../../core/base/kernel.h"

/* For loops over registers, which the compiler must unroll whole; and for others, which it need not. */
#if defined(__clang__)
#define TINI_NEON_UNROLL TINI_PRAGMA(clang loop unroll(full))
#define TINI_NEON_ROLLED TINI_PRAGMA(clang loop unroll(disable))
#else
#define TINI_NEON_UNROLL TINI_PRAGMA(GCC unroll 16)
#define TINI_NEON_ROLLED TINI_PRAGMA(GCC unroll 1)
#endif

/* Keeps a value in a general register: broadcasting it from there costs the vector pipes nothing on most cores. */
#define TINI_NEON_HIDE(x) __asm__ volatile("" : "+r"(x))
/* No load after it is begun before the two values are there: keeps the compiler from starting more work than there are
 * registers for. */
#define TINI_NEON_FINISH(a, b) __asm__ volatile("" : "+w"(a), "+w"(b)::"memory")

/* What is loaded after it is loaded, even if a register has it: a copy would take a vector pipe. */
#define TINI_NEON_ANEW() __asm__ volatile("" ::: "memory")

/* For what is long and called by many. */
#define TINI_NEON_ONCE __attribute__((noinline))

TINI_REGION_NEON

/* Four float16 values, widened exactly. */
TINI_INLINE float32x4_t tini_neon_halves(const void *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16((const uint16_t *)p)));
}

TINI_REGION_END

#endif
