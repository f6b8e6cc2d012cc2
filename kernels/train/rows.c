#include "rows.h"
#include "../core/base/isa.h"
#include "../core/base/math.h"
#include "../pack/sets.h"

typedef struct tini_rows_set {
    void (*norm)(const tini_rows *, const uint8_t *, const uint8_t *, uint8_t *);
    void (*norm_back)(const tini_rows *, const uint8_t *, const uint8_t *, const uint8_t *, uint8_t *);
    void (*gate)(const tini_rows *, const uint8_t *, const uint8_t *, uint8_t *);
    void (*gate_back)(const tini_rows *, const uint8_t *, const uint8_t *, const uint8_t *, uint8_t *,
                      uint8_t *);
    void (*gate_norm)(const tini_rows *, const uint8_t *, const uint8_t *, const uint8_t *, uint8_t *);
    void (*gate_norm_back)(const tini_rows *, const uint8_t *, const uint8_t *, const uint8_t *,
                           const uint8_t *, uint8_t *, uint8_t *);
} tini_rows_set;

#define TINI_SET_FILE "../train/rows_set.h"
#include "../pack/each_set.h"

#define TINI_WAYS(set)                                            \
    {tini_norm_##set,      tini_norm_back_##set, tini_gate_##set, \
     tini_gate_back_##set, tini_gate_norm_##set, tini_gate_norm_back_##set},
static const tini_rows_set tini_rows_sets[] = {TINI_SETS(TINI_WAYS)};

static const tini_rows_set *tini_rows_best(const tini_rows *m) {
    return tini_rows_sets + tini_set_best(m->passed_over);
}

void tini_rms_norm(const tini_rows *m, const float *x, const float *weight, void *out) {
    tini_rows_best(m)->norm(m, (const uint8_t *)x, (const uint8_t *)weight, out);
}

void tini_rms_norm_back(const tini_rows *m, const float *x, const float *weight, const void *gradient,
                        float *to) {
    tini_rows_best(m)->norm_back(m, (const uint8_t *)x, (const uint8_t *)weight, gradient, (uint8_t *)to);
}

void tini_gated(const tini_rows *m, const void *gate, const void *up, void *out) {
    tini_rows_best(m)->gate(m, gate, up, out);
}

void tini_gated_back(const tini_rows *m, const void *gate, const void *up, const void *gradient, void *to_gate,
                     void *to_up) {
    tini_rows_best(m)->gate_back(m, gate, up, gradient, to_gate, to_up);
}

void tini_gated_norm(const tini_rows *m, const void *x, const void *gate, const float *weight, void *out) {
    tini_rows_best(m)->gate_norm(m, x, gate, (const uint8_t *)weight, out);
}

void tini_gated_norm_back(const tini_rows *m, const void *x, const void *gate, const float *weight,
                          const void *gradient, void *to_x, void *to_gate) {
    tini_rows_best(m)->gate_norm_back(m, x, gate, (const uint8_t *)weight, gradient, to_x, to_gate);
}
