/* Memory is the caller's: one block for each thing that is made, whose parts are planned before they are placed. */
#ifndef TINI_MEMORY_H
#define TINI_MEMORY_H

#include "error.h"

/* Takes the next `bytes` of a block whose first *total are taken: where they begin, a multiple of TIN_ALIGNMENT. */
static inline uint64_t tini_take(uint64_t *total, uint64_t bytes) {
    uint64_t offset = *total;
    *total += (bytes + TIN_ALIGNMENT - 1) / TIN_ALIGNMENT * TIN_ALIGNMENT;
    return offset;
}

/* TIN_ERR_MEMORY where the caller's block is too small, out of line or NULL. what: such as "the session needs". */
static inline tin_status tini_lacks(const void *memory, size_t size, uint64_t needed, const char *what,
                                    tin_error *error) {
    if (memory && !((uintptr_t)memory % TIN_ALIGNMENT) && size >= needed)
        return TIN_OK;
    return tini_fail(error, TIN_ERR_MEMORY, "%s %llu bytes aligned to %u", what, (unsigned long long)needed,
                     (uint32_t)TIN_ALIGNMENT);
}

/* Asks for what is read soon, where the compiler can say so. None of it is read. */
static inline void tini_ask(const void *p, uint64_t bytes) {
#if (defined(__GNUC__) || defined(__clang__)) && (defined(__x86_64__) || defined(__aarch64__))
    for (uint64_t line = 0; line < bytes; line += 64)
        __builtin_prefetch((const char *)p + line);
#else
    (void)p, (void)bytes;
#endif
}

#endif
