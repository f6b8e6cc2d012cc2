#include "values.h"
#include "../core/base/isa.h"
#include "blocks.h"
#include "sets.h"

typedef void (*tini_values_loop)(uint8_t *out, int narrow, const uint8_t *gguf, uint32_t inputs,
                                 const tini_part *part);

TINI_REGION_SCALAR

/* Value i of out; bfloat16 to nearest even, but for NaNs whose every bit is set. */
TINI_INLINE void tini_store_value(uint8_t *out, const int narrow, uint32_t i, float value) {
    uint32_t bits = tini_bits(value);
    uint16_t half = (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
    if (narrow)
        memcpy(out + 2 * (size_t)i, &half, 2);
    else
        memcpy(out + 4 * (size_t)i, &bits, 4);
}

/* A block's values by way of its numbers. */
TINI_INLINE void tini_store_block(uint8_t *out, const int narrow, const uint8_t *block, const int format) {
    tini_quants w;
    float values[TINI_QUANTS];
    TINI_FILLED(&values);
    tini_quants_from_gguf(&w, block, format);
    tini_quants_floats(values, &w, format);
    for (uint32_t i = 0; i < tini_kind_of(format).inputs; i++)
        tini_store_value(out, narrow, i, values[i]);
}

TINI_INLINE float tini_plain_value(const uint8_t *at, const int format) {
    if (format == TINI_FORMAT_F32)
        return tini_load_f32(at);
    uint16_t half = tini_load_u16(at);
    return format == TINI_FORMAT_F16 ? tini_f16_to_f32(half) : tini_bf16_to_f32(half);
}
TINI_REGION_END

#define TINI_SET_FILE "values_set.h"
#include "each_set.h"

#define TINI_LOOPS(set) tini_values_##set,
static const tini_values_loop *const tini_values_sets[] = {TINI_SETS(TINI_LOOPS)};

int tini_values_by(uint32_t set, int format, void *out, int narrow, const uint8_t *gguf, uint32_t inputs,
                   const tini_part *part) {
    if (!tini_set_runs(set))
        return -1;
    tini_values_sets[set][format](out, narrow, gguf, inputs, part);
    return 0;
}

void tini_values(int format, void *out, int narrow, const uint8_t *gguf, uint32_t inputs,
                 const tini_part *part) {
    tini_values_sets[tini_set_best(0)][format](out, narrow, gguf, inputs, part);
}
