#include "../../core/base/region.h"
#if TIN_HAVE_AVXVNNI
#include "../x86/cpuid.h"

int tini_runs_avxvnni(void) {
    return tini_runs_avx2() && tini_cpuid_sub_bit(7, 1, TINI_EAX, 4);
}

#endif
