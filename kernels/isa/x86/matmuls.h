/* x86's matmuls by how much the compiler shall optimize them (levels.txt): matmuls.c has the large ones, which lose by -Os (a
 * tenth, for one row), matmuls_small.c the others, which say themselves what to unroll. */
#ifndef TINI_X86_MATMULS_H
#define TINI_X86_MATMULS_H

#include "../scalar/tile.h"

#define TINI_LARGE_f32 TINI_LISTED
#define TINI_LARGE_f16 TINI_LISTED
#define TINI_LARGE_bf16 TINI_LISTED
#define TINI_LARGE_q4_k TINI_LISTED
#define TINI_LARGE_q5_k TINI_LISTED
#define TINI_LARGE_q6_k TINI_LISTED

#define TINI_LARGE_MATMUL(set, function, id, gguf, NAME, name, block, bytes, activations, ...) \
    TINI_WHEN(TINI_LARGE_##name)                                                               \
    (TINI_MATMUL(set, function, id, gguf, NAME, name, block, bytes, activations, ))
#define TINI_LARGE_Q8_MATMUL(set, function, id, gguf, NAME, name, block, bytes, activations, ...) \
    TINI_ONLY_##activations(TINI_LARGE_MATMUL(set, function, id, gguf, NAME, name, block, bytes, activations, ))
#define TINI_SMALL_MATMUL(set, function, id, gguf, NAME, name, block, bytes, activations, ...) \
    TINI_UNLESS(TINI_LARGE_##name)                                                             \
    (TINI_MATMUL(set, function, id, gguf, NAME, name, block, bytes, activations, ))

#endif
