/* All of libc that the library needs, where there is none; the compiler's own runtime has these. */
#ifndef TIN_WASM_STRING_H
#define TIN_WASM_STRING_H

#include <stddef.h>

void *memcpy(void *, const void *, size_t);
void *memmove(void *, const void *, size_t);
void *memset(void *, int, size_t);
int memcmp(const void *, const void *, size_t);

#endif
