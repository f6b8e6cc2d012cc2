#include "isa.h"
#include "region.h"

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
#define TINI_OWN(isa) TIN_KERNELS_##isa(TINI_TAKE)
#define TINI_TABLE(name, have) \
    TINI_IF(have)(static const tini_kernels tini_table_##name = {.isa = #name, TIN_LINE_##name(TINI_OWN)};)
TIN_ISAS(TINI_TABLE)

#if defined(__clang__)
#pragma clang diagnostic pop
#elif defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

typedef struct tini_isa {
    const tini_kernels *table;
    int (*runs)(void);
} tini_isa;

#define TINI_ISA(name, have) TINI_IF(have)({&tini_table_##name, tini_runs_##name}, )
static const tini_isa tini_isas[] = {TIN_ISAS(TINI_ISA)};

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
