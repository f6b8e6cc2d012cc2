#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include "processor.h"

/* Bits of the kernel's words for ARM64, and Windows' number, which older headers lack. */
#define TINI_HWCAP_ASIMDDP (1ul << 20)
#define TINI_HWCAP2_I8MM (1ul << 13)
#define TINI_PF_ARM_V82_DP 43

#if defined(__linux__)
#include <sys/auxv.h>

int tini_arm_has(int feature) {
    return feature == TINI_ARM_DOTPROD ? (getauxval(AT_HWCAP) & TINI_HWCAP_ASIMDDP) != 0
                                       : (getauxval(AT_HWCAP2) & TINI_HWCAP2_I8MM) != 0;
}
#elif defined(__APPLE__)
#include <stddef.h>
#include <sys/sysctl.h>

int tini_arm_has(int feature) {
    const char *name =
        feature == TINI_ARM_DOTPROD ? "hw.optional.arm.FEAT_DotProd" : "hw.optional.arm.FEAT_I8MM";
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, NULL, 0) == 0 && size == sizeof value && value == 1;
}
#elif defined(_WIN32)
__declspec(dllimport) int __stdcall IsProcessorFeaturePresent(unsigned long feature);

/* Windows has no sure answer on I8MM. */
int tini_arm_has(int feature) {
    return feature == TINI_ARM_DOTPROD && IsProcessorFeaturePresent(TINI_PF_ARM_V82_DP) != 0;
}
#else /* no one to ask: what the compiler was told */
int tini_arm_has(int feature) {
#if defined(__ARM_FEATURE_DOTPROD) && defined(__ARM_FEATURE_MATMUL_INT8)
    return feature == TINI_ARM_DOTPROD || feature == TINI_ARM_I8MM;
#elif defined(__ARM_FEATURE_DOTPROD)
    return feature == TINI_ARM_DOTPROD;
#else
    (void)feature;
    return 0;
#endif
}
#endif

#endif
