#include "rows.h"
#include "../core/base/isa.h"
#include "../core/base/math.h"
#include "../pack/sets.h"

typedef struct tini_rows_set {
    const char *isa; /* NULL: every machine runs it */
    void (*norm)(const tini_rows *, const uint8_t *, const uint8_t *, float, uint8_t *);
    void (*norm_back)(const tini_rows *, const uint8_t *, const uint8_t *, float, const uint8_t *, uint8_t *);
    void (*gate)(const tini_rows *, const uint8_t *, const uint8_t *, uint8_t *);
    void (*gate_back)(const tini_rows *, const uint8_t *, const uint8_t *, const uint8_t *, uint8_t *,
                      uint8_t *);
} tini_rows_set;

TINI_REGION_SCALAR
#define TINI_SET scalar
#define TINI_LANES 4
#include "rows_set.h"
TINI_REGION_END

#if TIN_HAVE_AVX2
TINI_REGION_AVX2
#define TINI_SET avx2
#define TINI_LANES 8
#include "rows_set.h"
TINI_REGION_END
#endif

#if TIN_HAVE_AVX512VNNI
TINI_REGION_AVX512VNNI
#define TINI_SET avx512vnni
#define TINI_LANES 16
#include "rows_set.h"
TINI_REGION_END
#endif

static const tini_rows_set tini_rows_sets[] = {
    {NULL, tini_norm_scalar, tini_norm_back_scalar, tini_gate_scalar, tini_gate_back_scalar},
#if TIN_HAVE_AVX2
    {"avx2", tini_norm_avx2, tini_norm_back_avx2, tini_gate_avx2, tini_gate_back_avx2},
#endif
#if TIN_HAVE_AVX512VNNI
    {"avx512vnni", tini_norm_avx512vnni, tini_norm_back_avx512vnni, tini_gate_avx512vnni,
     tini_gate_back_avx512vnni},
#endif
};

static const tini_rows_set *tini_rows_chosen(const tini_rows *m) {
    uint32_t set = sizeof tini_rows_sets / sizeof *tini_rows_sets - 1;
    for (uint32_t left = m->passed_over; set; set--)
        if (tini_set_runs(tini_rows_sets[set].isa) && !left--)
            break;
    return tini_rows_sets + set;
}

void tini_rms_norm(const tini_rows *m, const float *x, const float *weight, float epsilon, void *out) {
    tini_rows_chosen(m)->norm(m, (const uint8_t *)x, (const uint8_t *)weight, epsilon, out);
}

void tini_rms_norm_back(const tini_rows *m, const float *x, const float *weight, float epsilon,
                        const void *gradient, float *to) {
    tini_rows_chosen(m)->norm_back(m, (const uint8_t *)x, (const uint8_t *)weight, epsilon, gradient,
                                   (uint8_t *)to);
}

void tini_gated(const tini_rows *m, const void *gate, const void *up, void *out) {
    tini_rows_chosen(m)->gate(m, gate, up, out);
}

void tini_gated_back(const tini_rows *m, const void *gate, const void *up, const void *gradient, void *to_gate,
                     void *to_up) {
    tini_rows_chosen(m)->gate_back(m, gate, up, gradient, to_gate, to_up);
}
