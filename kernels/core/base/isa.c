#include "isa.h"
#include "region.h"

#if TIN_HAVE_AVX2
#include <cpuid.h>

enum { TINI_EAX, TINI_EBX, TINI_ECX, TINI_EDX };

/* Whether bit `bit` of the register is set in the answer to CPUID `leaf`, `subleaf`. A subleaf past the last answers
 * zeros. */
static int tini_cpuid_sub_bit(uint32_t leaf, uint32_t subleaf, int reg, int bit) {
    uint32_t r[4];
    return __get_cpuid_count(leaf, subleaf, &r[TINI_EAX], &r[TINI_EBX], &r[TINI_ECX], &r[TINI_EDX]) &&
           (r[reg] >> bit & 1);
}

static int tini_cpuid_bit(uint32_t leaf, int reg, int bit) {
    return tini_cpuid_sub_bit(leaf, 0, reg, bit);
}

/* Whether the operating system saves all the register states of `mask` (XCR0 bits). */
static int tini_os_saves(uint32_t mask) {
    if (!tini_cpuid_bit(1, TINI_ECX, 27)) /* OSXSAVE */
        return 0;
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & mask) == mask;
}

static int tini_runs_avx2(void) {
    return tini_os_saves(0x06) && tini_cpuid_bit(1, TINI_ECX, 29) /* F16C */ && tini_cpuid_bit(7, TINI_EBX, 5);
}

#if TIN_HAVE_AVXVNNI
static int tini_runs_avxvnni(void) {
    return tini_runs_avx2() && tini_cpuid_sub_bit(7, 1, TINI_EAX, 4);
}
#endif

static int tini_runs_avx512vnni(void) {
    return tini_runs_avx2() && tini_os_saves(0xe6) && tini_cpuid_bit(7, TINI_EBX, 16) /* F */ &&
           tini_cpuid_bit(7, TINI_EBX, 17) /* DQ */ && tini_cpuid_bit(7, TINI_EBX, 30) /* BW */ &&
           tini_cpuid_bit(7, TINI_EBX, 31) /* VL */ && tini_cpuid_bit(7, TINI_ECX, 11) /* VNNI */;
}
#endif

#if TIN_HAVE_NEON
/* Bits of the kernel's words for ARM64, and Windows' number, which older headers lack. */
#define TINI_HWCAP_ASIMDDP (1ul << 20)
#define TINI_HWCAP2_I8MM (1ul << 13)
#define TINI_PF_ARM_V82_DP 43

#if defined(__linux__)
#include <sys/auxv.h>

static int tini_runs_neondot(void) {
    return (getauxval(AT_HWCAP) & TINI_HWCAP_ASIMDDP) != 0;
}

static int tini_runs_neoni8mm(void) {
    return tini_runs_neondot() && (getauxval(AT_HWCAP2) & TINI_HWCAP2_I8MM) != 0;
}
#elif defined(__APPLE__)
#include <sys/sysctl.h>

static int tini_system_has(const char *name) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, NULL, 0) == 0 && size == sizeof value && value == 1;
}

static int tini_runs_neondot(void) {
    return tini_system_has("hw.optional.arm.FEAT_DotProd");
}

static int tini_runs_neoni8mm(void) {
    return tini_runs_neondot() && tini_system_has("hw.optional.arm.FEAT_I8MM");
}
#elif defined(_WIN32)
__declspec(dllimport) int __stdcall IsProcessorFeaturePresent(unsigned long feature);

static int tini_runs_neondot(void) {
    return IsProcessorFeaturePresent(TINI_PF_ARM_V82_DP) != 0;
}

/* Windows has no sure answer. */
static int tini_runs_neoni8mm(void) {
    return 0;
}
#else /* no one to ask: what the compiler was told */
static int tini_runs_neondot(void) {
#if defined(__ARM_FEATURE_DOTPROD)
    return 1;
#else
    return 0;
#endif
}

static int tini_runs_neoni8mm(void) {
#if defined(__ARM_FEATURE_DOTPROD) && defined(__ARM_FEATURE_MATMUL_INT8)
    return 1;
#else
    return 0;
#endif
}
#endif

static int tini_runs_neon(void) {
    return 1;
}
#endif

#if TIN_HAVE_WASMSIMD
/* An engine without SIMD would have refused the module. */
static int tini_runs_wasmsimd(void) {
    return 1;
}
#endif

/* Of these a build has all its functions for one processor, or none. */
#if TIN_HAVE_ARMDSP
static int tini_runs_armdsp(void) {
    return 1;
}
#endif

#if TIN_HAVE_MVE
static int tini_runs_mve(void) {
    return 1;
}
#endif

static int tini_runs_scalar(void) {
    return 1;
}

/* A set's table lists its ancestors' kernels and then its own; a later initializer of a member replaces an
 * earlier one, which is meant. */
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Winitializer-overrides"
#elif defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
#endif

#define TINI_TAKE(op, isa) .op = tini_##op##_##isa,
#define TINI_SKIP(op, isa)
/* TINI_TAKE where TINI_FROM_<set>_<isa> is defined below, as "~, TINI_TAKE"; else TINI_SKIP. */
#define TINI_SECOND(a, b, ...) b
#define TINI_CHOOSE(...) TINI_SECOND(__VA_ARGS__, TINI_SKIP, ~)
#define TINI_FROM(set, isa) TINI_CHOOSE(TINI_FROM_##set##_##isa)

static const tini_kernels tini_table_scalar = {
    .isa = "scalar",
#define TIN_KERNEL(op, type) TINI_TAKE(op, scalar)
#include "../../kernels.def"
};

#if TIN_HAVE_AVX2
#define TINI_FROM_avx2_avx2 ~, TINI_TAKE

static const tini_kernels tini_table_avx2 = {
    .isa = "avx2",
#define TIN_KERNEL(op, type) TINI_TAKE(op, scalar)
#define TIN_KERNEL_IMPL(op, type, isa) TINI_FROM(avx2, isa)(op, isa)
#include "../../kernels.def"
};
#endif

#if TIN_HAVE_AVXVNNI
#define TINI_FROM_avxvnni_avx2 ~, TINI_TAKE
#define TINI_FROM_avxvnni_avxvnni ~, TINI_TAKE

static const tini_kernels tini_table_avxvnni = {
    .isa = "avxvnni",
#define TIN_KERNEL(op, type) TINI_TAKE(op, scalar)
#define TIN_KERNEL_IMPL(op, type, isa) TINI_FROM(avxvnni, isa)(op, isa)
#include "../../kernels.def"
};
#endif

#if TIN_HAVE_AVX512VNNI
#define TINI_FROM_avx512vnni_avx2 ~, TINI_TAKE
#define TINI_FROM_avx512vnni_avx512vnni ~, TINI_TAKE

static const tini_kernels tini_table_avx512vnni = {
    .isa = "avx512vnni",
#define TIN_KERNEL(op, type) TINI_TAKE(op, scalar)
#define TIN_KERNEL_IMPL(op, type, isa) TINI_FROM(avx512vnni, isa)(op, isa)
#include "../../kernels.def"
};
#endif

#if TIN_HAVE_NEON
#define TINI_FROM_neon_neon ~, TINI_TAKE

static const tini_kernels tini_table_neon = {
    .isa = "neon",
#define TIN_KERNEL(op, type) TINI_TAKE(op, scalar)
#define TIN_KERNEL_IMPL(op, type, isa) TINI_FROM(neon, isa)(op, isa)
#include "../../kernels.def"
};
#endif

#if TIN_HAVE_NEONDOT
#define TINI_FROM_neondot_neon ~, TINI_TAKE
#define TINI_FROM_neondot_neondot ~, TINI_TAKE

static const tini_kernels tini_table_neondot = {
    .isa = "neondot",
#define TIN_KERNEL(op, type) TINI_TAKE(op, scalar)
#define TIN_KERNEL_IMPL(op, type, isa) TINI_FROM(neondot, isa)(op, isa)
#include "../../kernels.def"
};
#endif

#if TIN_HAVE_NEONI8MM
#define TINI_FROM_neoni8mm_neon ~, TINI_TAKE
#define TINI_FROM_neoni8mm_neondot ~, TINI_TAKE
#define TINI_FROM_neoni8mm_neoni8mm ~, TINI_TAKE

static const tini_kernels tini_table_neoni8mm = {
    .isa = "neoni8mm",
#define TIN_KERNEL(op, type) TINI_TAKE(op, scalar)
#define TIN_KERNEL_IMPL(op, type, isa) TINI_FROM(neoni8mm, isa)(op, isa)
#include "../../kernels.def"
};
#endif

#if TIN_HAVE_WASMSIMD
#define TINI_FROM_wasmsimd_wasmsimd ~, TINI_TAKE

static const tini_kernels tini_table_wasmsimd = {
    .isa = "wasmsimd",
#define TIN_KERNEL(op, type) TINI_TAKE(op, scalar)
#define TIN_KERNEL_IMPL(op, type, isa) TINI_FROM(wasmsimd, isa)(op, isa)
#include "../../kernels.def"
};
#endif

#if TIN_HAVE_ARMDSP
#define TINI_FROM_armdsp_armdsp ~, TINI_TAKE

static const tini_kernels tini_table_armdsp = {
    .isa = "armdsp",
#define TIN_KERNEL(op, type) TINI_TAKE(op, scalar)
#define TIN_KERNEL_IMPL(op, type, isa) TINI_FROM(armdsp, isa)(op, isa)
#include "../../kernels.def"
};
#endif

#if TIN_HAVE_MVE
#define TINI_FROM_mve_armdsp ~, TINI_TAKE
#define TINI_FROM_mve_mve ~, TINI_TAKE

static const tini_kernels tini_table_mve = {
    .isa = "mve",
#define TIN_KERNEL(op, type) TINI_TAKE(op, scalar)
#define TIN_KERNEL_IMPL(op, type, isa) TINI_FROM(mve, isa)(op, isa)
#include "../../kernels.def"
};
#endif

#if defined(__clang__)
#pragma clang diagnostic pop
#elif defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

typedef struct tini_isa {
    const tini_kernels *table;
    int (*runs)(void);
} tini_isa;

#define TINI_ISA_1(name) {&tini_table_##name, tini_runs_##name},
#define TINI_ISA_0(name)
#define TINI_ISA_IF(have, name) TINI_ISA_##have(name)
#define TIN_ISA(name, parent, guard) TINI_ISA_IF(guard, name)
static const tini_isa tini_isas[] = {
#include "../../isa.def"
};
#undef TIN_ISA

const tini_kernels *tini_kernels_available(uint32_t k) {
    for (uint32_t i = 0; i < sizeof tini_isas / sizeof *tini_isas; i++)
        if (tini_isas[i].runs() && k-- == 0)
            return tini_isas[i].table;
    return NULL;
}

static int tini_same_text(const char *a, const char *b) {
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

const tini_kernels *tini_kernels_select(const char *isa) {
    const tini_kernels *best = NULL, *table;
    for (uint32_t k = 0; (table = tini_kernels_available(k)) != NULL; k++) {
        if (!isa)
            best = table;
        else if (tini_same_text(isa, table->isa))
            return table;
    }
    return best;
}
