/* Instruction sets: a table of kernels each, and the choice among those that this processor runs. */
#ifndef TINI_ISA_H
#define TINI_ISA_H

#include "kernel.h"

typedef struct tini_kernels {
    const char *isa;
#define TINI_MEMBER(a, op, type) type *op;
    TIN_KERNELS(TINI_MEMBER, )
} tini_kernels;

/* The table of the named set, or the best one this processor runs when isa is NULL; NULL when the set is
 * unknown, not built in, or not supported by this processor. */
const tini_kernels *tini_kernels_select(const char *isa);

/* The k-th set that this build has and this processor runs, best last; NULL past the end. */
const tini_kernels *tini_kernels_available(uint32_t k);

#endif
