/* Memory that x86's kernels ask for before they need it. None of it is read: it may lie past the end. */
#ifndef TINI_X86_FETCH_H
#define TINI_X86_FETCH_H

#include "../avx2/rows.h"

TINI_REGION_AVX2

/* Bytes ahead, in a row that is read once, from end to end, and lies beyond the near caches. */
#define TINI_FETCH_AHEAD 1024

/* The cache lines from p on. */
TINI_INLINE void tini_fetch(const void *p, size_t bytes) {
    for (size_t line = 0; line < bytes; line += 64)
        _mm_prefetch((const char *)p + line, _MM_HINT_T0);
}

/* The same, `jump` further where p is at `end` or behind it. */
TINI_INLINE void tini_fetch_past(const uint8_t *p, size_t bytes, uintptr_t end, uintptr_t jump) {
    const uintptr_t at = (uintptr_t)p;
    tini_fetch((const void *)(at + (at < end ? 0 : jump)), bytes);
}

/* Where outputs of `rows` rows of x from row t on go, and what is added to them: one row's are far from the next one's,
 * where the hardware does not draft. */
void tini_fetch_outputs(const tini_matmul *m, uint32_t tile, uint32_t t, uint32_t tiles, uint32_t rows);

TINI_REGION_END

#endif
