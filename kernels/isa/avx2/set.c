#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include "../x86/cpuid.h"

int tini_runs_avx2(void) {
    return tini_os_saves(0x06) && tini_cpuid_bit(1, TINI_ECX, 29) /* F16C */ && tini_cpuid_bit(7, TINI_EBX, 5);
}

#endif
