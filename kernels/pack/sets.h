/* The instruction sets that the build side's own loops are compiled for, by each_set.h. */
#ifndef TINI_SETS_H
#define TINI_SETS_H

#include <stdint.h>

#include "../isa.def"

/* TINI_SETS(X)  X(set) for each in this build, the worst first, which every machine runs. */
#define TINI_SETS(X) X(scalar) TINI_IF(TIN_HAVE_AVX2)(X(avx2)) TINI_IF(TIN_HAVE_AVX512VNNI)(X(avx512vnni))

/* Whether this build has the set of this number, counted from the worst, and the processor runs it. The processor is
 * asked once: on a virtual machine its answer takes longer than the work. */
int tini_set_runs(uint32_t set);

/* The number of the best set that the processor runs; of the next ones, where so many better ones are passed over. */
uint32_t tini_set_best(uint32_t passed_over);

#endif
