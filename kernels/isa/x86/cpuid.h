/* What the processor says of itself. */
#ifndef TINI_X86_CPUID_H
#define TINI_X86_CPUID_H

#include <cpuid.h>
#include <stdint.h>

enum { TINI_EAX, TINI_EBX, TINI_ECX, TINI_EDX };

/* Whether bit `bit` of the register is set in the answer to CPUID `leaf`, `subleaf`. A subleaf past the last answers
 * zeros. */
static inline int tini_cpuid_sub_bit(uint32_t leaf, uint32_t subleaf, int reg, int bit) {
    uint32_t r[4];
    return __get_cpuid_count(leaf, subleaf, &r[TINI_EAX], &r[TINI_EBX], &r[TINI_ECX], &r[TINI_EDX]) &&
           (r[reg] >> bit & 1);
}

static inline int tini_cpuid_bit(uint32_t leaf, int reg, int bit) {
    return tini_cpuid_sub_bit(leaf, 0, reg, bit);
}

/* Whether the operating system saves all the register states of `mask` (XCR0 bits). */
static inline int tini_os_saves(uint32_t mask) {
    if (!tini_cpuid_bit(1, TINI_ECX, 27)) /* OSXSAVE */
        return 0;
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & mask) == mask;
}

#endif
