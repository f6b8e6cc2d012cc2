/* Memory is the caller's: one block for each thing that is made, whose parts are planned before they are placed. */
#ifndef TINI_MEMORY_H
#define TINI_MEMORY_H

#include "../../include/tin.h"

/* Takes the next `bytes` of a block whose first *total are taken: where they begin, a multiple of TIN_ALIGNMENT. */
static inline uint64_t tini_take(uint64_t *total, uint64_t bytes) {
    uint64_t offset = *total;
    *total += (bytes + TIN_ALIGNMENT - 1) / TIN_ALIGNMENT * TIN_ALIGNMENT;
    return offset;
}

#endif
