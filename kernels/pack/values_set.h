/* values.c for one instruction set (each_set.h). The vectors are those of GCC and clang, which become whatever registers
 * there are. */

#if defined(__GNUC__)
typedef uint8_t TINI_OF(tini_bytes) __attribute__((vector_size(TINI_LANES)));
typedef uint16_t TINI_OF(tini_halves) __attribute__((vector_size(2 * TINI_LANES)));
typedef int32_t TINI_OF(tini_wholes) __attribute__((vector_size(4 * TINI_LANES)));
typedef uint32_t TINI_OF(tini_patterns) __attribute__((vector_size(4 * TINI_LANES)));
typedef float TINI_OF(tini_floats) __attribute__((vector_size(4 * TINI_LANES)));

TINI_INLINE TINI_OF(tini_wholes) TINI_OF(tini_code_lanes)(const uint8_t *codes, TINI_OF(tini_wholes) place) {
    TINI_OF(tini_wholes) first = {0};
#if TINI_LANES == 4 || defined(__clang__)
    for (uint32_t k = 0; k < TINI_LANES; k++)
        first[k] = (int32_t)codes[place[k]];
    return first;
#else
    TINI_OF(tini_wholes) last = {0};
    for (uint32_t k = 0; k < TINI_LANES; k++) {
        first[k] = (int32_t)codes[k];
        last[k] = (int32_t)codes[16 - TINI_LANES + k];
    }
    return TINI_LANES == 16 ? __builtin_shuffle(first, place) : __builtin_shuffle(first, last, place);
#endif
}

/* Of the inputs from i on of a block, what its plane of `bits` bits holds. */
TINI_INLINE TINI_OF(tini_halves)
    TINI_OF(tini_plane_lanes)(const uint8_t *plane, uint32_t i, const uint32_t bits, const uint32_t stride) {
    if (stride == 1) { /* eight inputs a byte, of one bit each */
        TINI_OF(tini_halves) own = {0};
        for (int k = 0; k < TINI_LANES; k++)
            own[k] = (uint16_t)(1u << k);
        return ((own & (uint16_t)(tini_load_u16(plane + i / 16 * 2) >> i % 16)) != 0) & 1;
    }
    const uint32_t run = stride * (8 / bits);
    TINI_OF(tini_bytes) bytes;
#if TINI_LANES > 8
    if (stride == 8) { /* the same bytes twice, for the next bits */
        TINI_OF(tini_halves) from;
        for (int k = 0; k < TINI_LANES; k++)
            from[k] = (uint16_t)((i + (uint32_t)k) % run / stride * bits);
        memcpy(&bytes, plane, 8);
        memcpy((uint8_t *)&bytes + 8, plane, 8);
        return __builtin_convertvector(bytes, TINI_OF(tini_halves)) >> from & (uint16_t)((1u << bits) - 1);
    }
#endif
    memcpy(&bytes, plane + i / run * stride + i % stride, sizeof bytes);
    TINI_OF(tini_halves) wide = __builtin_convertvector(bytes, TINI_OF(tini_halves));
    return bits == 8 ? wide : wide >> (uint16_t)(i % run / stride * bits) & (uint16_t)((1u << bits) - 1);
}

TINI_INLINE TINI_OF(tini_wholes)
    TINI_OF(tini_number_lanes)(const uint8_t *block, uint32_t i, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const tini_layout layout = tini_layout_of(format);
    TINI_OF(tini_halves) n = TINI_OF(tini_plane_lanes)(block + layout.low.at, i, kind.low, layout.low.stride);
    if (kind.high)
        n |= TINI_OF(tini_plane_lanes)(block + layout.high.at, i, kind.high, layout.high.stride)
             << (uint16_t)kind.low;
    /* In two steps from bytes: GCC takes lanes apart where a step is wider than twofold. */
    TINI_OF(tini_wholes) whole = __builtin_convertvector(n ^ layout.flip, TINI_OF(tini_wholes));
    if (kind.codes)
        whole = TINI_OF(tini_code_lanes)(kind.codes, whole);
    return whole - kind.offset;
}

TINI_INLINE void TINI_OF(tini_store_lanes)(uint8_t *out, const int narrow, TINI_OF(tini_floats) values) {
    TINI_OF(tini_patterns) bits = (TINI_OF(tini_patterns))values;
    TINI_OF(tini_halves)
    halves = __builtin_convertvector((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16, TINI_OF(tini_halves));
    if (narrow)
        memcpy(out, &halves, sizeof halves);
    else
        memcpy(out, &bits, sizeof bits);
}

/* As tini_quants_floats computes it. */
TINI_INLINE void TINI_OF(tini_block_values)(uint8_t *out, const int narrow, const uint8_t *block,
                                            const int format) {
    const tini_kind kind = tini_kind_of(format);
    const tini_layout layout = tini_layout_of(format);
    if (kind.words) {
        tini_store_block(out, narrow, block, format);
        return;
    }
    const uint32_t step = tini_scales_by_half(format) ? TINI_BLOCK / 2 : TINI_BLOCK;
    float d = tini_f16_to_f32(tini_load_u16(block + layout.halves)), minimum = 0.0f;
    if (kind.halves == 4)
        minimum = tini_f16_to_f32(tini_load_u16(block + layout.halves + 2));
    for (uint32_t g = 0; g < kind.inputs; g += step) {
        float scale = d, least = minimum;
        if (kind.inputs > TINI_BLOCK) {
            tini_group group = tini_group_of(block + layout.scales, g / 16, format);
            scale = d * (float)group.scale;
            least = -(minimum * (float)group.minimum);
        }
        for (uint32_t i = g; i < g + step; i += TINI_LANES) {
            TINI_OF(tini_wholes) numbers = TINI_OF(tini_number_lanes)(block, i, format);
            TINI_OF(tini_floats) values = scale * __builtin_convertvector(numbers, TINI_OF(tini_floats));
            if (kind.halves == 4)
                values += least;
            TINI_OF(tini_store_lanes)(out + i * (narrow ? 2 : 4), narrow, values);
        }
    }
}
#else
TINI_INLINE void TINI_OF(tini_block_values)(uint8_t *out, const int narrow, const uint8_t *block,
                                            const int format) {
    tini_store_block(out, narrow, block, format);
}
#endif

TINI_INLINE void TINI_OF(tini_part_values)(uint8_t *restrict out, const int narrow,
                                           const uint8_t *restrict gguf, uint32_t inputs, const tini_part *part,
                                           const int format) {
    const tini_layout layout = tini_layout_of(format);
    const size_t row = (size_t)(inputs / layout.inputs) * layout.bytes, size = narrow ? 2 : 4;
    gguf += (size_t)(part->column / layout.inputs) * layout.bytes;
    for (uint32_t k = 0; k < part->rows; k++) {
        const uint8_t *block = gguf + (part->order ? part->order[part->first + k] : part->first + k) * row;
        if (!tini_kind_of(format).inputs)
            for (uint32_t i = 0; i < part->columns; i++)
                tini_store_value(out, narrow, i, tini_plain_value(block + (size_t)i * layout.bytes, format));
        for (uint32_t i = 0; tini_kind_of(format).inputs && i < part->columns; i += layout.inputs)
            TINI_OF(tini_block_values)(out + i * size, narrow, block + i / layout.inputs * layout.bytes,
                                       format);
        out += part->columns * size;
    }
}

/* The formats' loops, their layouts constant in each. */
#define TINI_VALUES_OF(a, b, id, type, NAME, name, ...)                                                     \
    static void TINI_OF(tini_values_##name)(uint8_t *out, int narrow, const uint8_t *gguf, uint32_t inputs, \
                                            const tini_part *part) {                                        \
        if (narrow)                                                                                         \
            TINI_OF(tini_part_values)(out, 1, gguf, inputs, part, id);                                      \
        else                                                                                                \
            TINI_OF(tini_part_values)(out, 0, gguf, inputs, part, id);                                      \
    }
#define TINI_VALUES_ENTRY(a, b, id, type, NAME, name, ...) [id] = TINI_OF(tini_values_##name),
TIN_FORMATS(TINI_VALUES_OF, , )
static const tini_values_loop TINI_OF(tini_values)[TINI_FORMAT_COUNT] = {TIN_FORMATS(TINI_VALUES_ENTRY, , )};

#undef TINI_VALUES_ENTRY
#undef TINI_VALUES_OF
