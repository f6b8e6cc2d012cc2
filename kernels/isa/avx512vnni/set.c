#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "../x86/cpuid.h"

int tini_runs_avx512vnni(void) {
    return tini_runs_avx2() && tini_os_saves(0xe6) && tini_cpuid_bit(7, TINI_EBX, 16) /* F */ &&
           tini_cpuid_bit(7, TINI_EBX, 17) /* DQ */ && tini_cpuid_bit(7, TINI_EBX, 30) /* BW */ &&
           tini_cpuid_bit(7, TINI_EBX, 31) /* VL */ && tini_cpuid_bit(7, TINI_ECX, 11) /* VNNI */;
}

#endif
