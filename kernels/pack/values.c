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

TINI_INLINE float tini_plain_value(const uint8_t *at, const int format) {
    if (format == TINI_FORMAT_F32)
        return tini_load_f32(at);
    uint16_t half = tini_load_u16(at);
    return format == TINI_FORMAT_F16 ? tini_f16_to_f32(half) : tini_bf16_to_f32(half);
}

#define TINI_SET scalar
#define TINI_LANES 4
#include "values_set.h"
TINI_REGION_END

#if TIN_HAVE_AVX2
TINI_REGION_AVX2
#define TINI_SET avx2
#define TINI_LANES 8
#include "values_set.h"
TINI_REGION_END
#endif

#if TIN_HAVE_AVX512VNNI
TINI_REGION_AVX512VNNI
#define TINI_SET avx512vnni
#define TINI_LANES 16
#include "values_set.h"
TINI_REGION_END
#endif

static const struct {
    const char *isa; /* NULL: every machine runs it */
    const tini_values_loop *loops;
} tini_values_sets[] = {
    {NULL, tini_values_scalar},
#if TIN_HAVE_AVX2
    {"avx2", tini_values_avx2},
#endif
#if TIN_HAVE_AVX512VNNI
    {"avx512vnni", tini_values_avx512vnni},
#endif
};

int tini_values_by(uint32_t set, int format, void *out, int narrow, const uint8_t *gguf, uint32_t inputs,
                   const tini_part *part) {
    if (set >= sizeof tini_values_sets / sizeof *tini_values_sets)
        return -1;
    if (tini_values_sets[set].isa && !tini_set_runs(tini_values_sets[set].isa))
        return -1;
    tini_values_sets[set].loops[format](out, narrow, gguf, inputs, part);
    return 0;
}

void tini_values(int format, void *out, int narrow, const uint8_t *gguf, uint32_t inputs,
                 const tini_part *part) {
    uint32_t set = sizeof tini_values_sets / sizeof *tini_values_sets;
    while (set-- > 0)
        if (!tini_values_by(set, format, out, narrow, gguf, inputs, part))
            return;
}
