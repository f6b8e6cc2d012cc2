#include "jpeg_scan.h"
#include "jpeg_rows.h"

#include <string.h>

int tini_jpeg_make_code(tini_jpeg_code *code, const uint8_t counts[16], const uint8_t *symbols) {
    uint32_t value = 0, n = 0;
    memset(code, 0, sizeof *code);
    for (uint32_t length = 1; length <= 16; length++, value <<= 1) {
        code->shift[length] = (int32_t)n - (int32_t)value;
        for (uint32_t k = 0; k < counts[length - 1]; k++, n++, value++) {
            code->symbol[n] = symbols[n];
            if (value + 1 >= 1u << length) /* all ones is no code */
                return 0;
            for (uint32_t i = 0; length <= 8 && i < 1u << (8 - length); i++)
                code->fast[value << (8 - length) | i] = (uint16_t)(length << 8 | symbols[n]);
        }
        code->last[length] = counts[length - 1] ? (int32_t)value - 1 : -1;
    }
    code->last[17] = INT32_MAX;
    code->there = 1;
    return 1;
}

/* Holds 25 bits or more; zeros, which are counted, after a marker or the file's end. */
static void jpeg_hold(tini_jpeg *s) {
    while (s->bit_count <= 24) {
        uint32_t byte = 0;
        if (s->end - s->at >= 1 && s->at[0] != 0xFF) {
            byte = *s->at++;
        } else if (s->end - s->at >= 2 && s->at[1] == 0) {
            byte = 0xFF;
            s->at += 2;
        } else {
            s->padded += 8;
        }
        s->bits |= byte << (24 - s->bit_count);
        s->bit_count += 8;
    }
}

/* The next `count` bits, at most 16. */
static uint32_t jpeg_bits(tini_jpeg *s, uint32_t count) {
    if (!count)
        return 0;
    if (s->bit_count < count)
        jpeg_hold(s);
    uint32_t value = s->bits >> (32 - count);
    s->bits <<= count;
    s->bit_count -= count;
    return value;
}

/* The next symbol; 0 with a fault where there is none. */
static uint32_t jpeg_symbol(tini_jpeg *s, const tini_jpeg_code *code) {
    if (s->bit_count < 16)
        jpeg_hold(s);
    uint32_t fast = code->fast[s->bits >> 24];
    if (fast) {
        s->bits <<= fast >> 8;
        s->bit_count -= fast >> 8;
        return fast & 255;
    }
    uint32_t length = 1;
    while ((int32_t)(s->bits >> (length < 17 ? 32 - length : 16)) > code->last[length])
        length++;
    if (length > 16) {
        tini_jpeg_fail(s, "its data have an unknown code");
        return 0;
    }
    int32_t value = (int32_t)jpeg_bits(s, length);
    return code->symbol[(value + code->shift[length]) & 255];
}

/* A value of `size` bits: those below half of the range are negative (T.81, F.12). */
static int32_t jpeg_value(tini_jpeg *s, uint32_t size) {
    int32_t value = (int32_t)jpeg_bits(s, size);
    return size && value < 1 << (size - 1) ? value - (1 << size) + 1 : value;
}

/* The part's next DC. Damaged data wrap around. */
static int16_t jpeg_dc(tini_jpeg *s, tini_jpeg_part *part) {
    uint32_t size = jpeg_symbol(s, &s->code[0][part->dc]);
    if (size > 15) {
        tini_jpeg_fail(s, "its data have an unknown code");
        return 0;
    }
    part->before += (uint32_t)jpeg_value(s, size);
    return (int16_t)(uint16_t)(part->before << s->low);
}

static void jpeg_sequential(tini_jpeg *s, tini_jpeg_part *part, int16_t *block) {
    const tini_jpeg_code *code = &s->code[1][part->ac];
    block[0] = jpeg_dc(s, part);
    for (uint32_t k = 1; k < 64; k++) {
        uint32_t symbol = jpeg_symbol(s, code), run = symbol >> 4, size = symbol & 15;
        if (!size && run < 15)
            return;
        k += run;
        if (!size)
            continue;
        int32_t value = jpeg_value(s, size);
        if (k > 63) {
            tini_jpeg_fail(s, "its data have too many coefficients");
            return;
        }
        block[tini_jpeg_zigzag[k]] = (int16_t)value;
    }
}

static void jpeg_dc_refine(tini_jpeg *s, int16_t *block) {
    if (jpeg_bits(s, 1))
        block[0] = (int16_t)(block[0] | 1 << s->low);
}

static void jpeg_ac_first(tini_jpeg *s, const tini_jpeg_part *part, int16_t *block) {
    if (s->run) {
        s->run--;
        return;
    }
    for (uint32_t k = s->first; k <= s->last; k++) {
        uint32_t symbol = jpeg_symbol(s, &s->code[1][part->ac]), run = symbol >> 4, size = symbol & 15;
        if (!size && run < 15) {
            s->run = (1u << run) - 1 + jpeg_bits(s, run);
            return;
        }
        k += run;
        if (!size)
            continue;
        uint32_t value = (uint32_t)jpeg_value(s, size);
        if (k > 63) {
            tini_jpeg_fail(s, "its data have too many coefficients");
            return;
        }
        block[tini_jpeg_zigzag[k]] = (int16_t)(uint16_t)(value << s->low);
    }
}

/* One more bit of a coefficient that is not 0. */
static void jpeg_correct(tini_jpeg *s, int16_t *coefficient) {
    int bit = 1 << s->low;
    if (jpeg_bits(s, 1) && !(*coefficient & bit))
        *coefficient = (int16_t)(uint16_t)(*coefficient >= 0 ? *coefficient + bit : *coefficient - bit);
}

/* Corrects the coefficients from *k on that are not 0, and stops at the one after `zeros` that are. */
static void jpeg_pass_over(tini_jpeg *s, int16_t *block, uint32_t *k, uint32_t zeros) {
    for (; *k <= s->last; (*k)++) {
        int16_t *coefficient = block + tini_jpeg_zigzag[*k];
        if (*coefficient)
            jpeg_correct(s, coefficient);
        else if (!zeros--)
            return;
    }
}

static void jpeg_ac_refine(tini_jpeg *s, const tini_jpeg_part *part, int16_t *block) {
    uint32_t k = s->first;
    while (!s->run && k <= s->last && !s->fault) {
        uint32_t symbol = jpeg_symbol(s, &s->code[1][part->ac]), run = symbol >> 4, size = symbol & 15;
        if (!size && run < 15) {
            s->run = (1u << run) + jpeg_bits(s, run);
            break;
        }
        int value = !size ? 0 : jpeg_bits(s, 1) ? 1 << s->low : -(1 << s->low);
        jpeg_pass_over(s, block, &k, run);
        if (value && k <= s->last)
            block[tini_jpeg_zigzag[k]] = (int16_t)value;
        k++;
    }
    if (s->run) {
        jpeg_pass_over(s, block, &k, 64);
        s->run--;
    }
}

/* The block at (x, y) of a part's: into its coefficients, or at once into samples. */
static void jpeg_block(tini_jpeg *s, tini_jpeg_part *part, uint32_t x, uint32_t y) {
    if (!s->progressive) {
        int16_t block[64] = {0};
        size_t stride = (size_t)part->across * 8;
        jpeg_sequential(s, part, block);
        tini_jpeg_transform(block, part->table, part->plane + (size_t)y * 8 * stride + (size_t)x * 8, stride);
        return;
    }
    int16_t *block = part->blocks + ((size_t)y * part->across + x) * 64;
    if (s->first)
        s->high ? jpeg_ac_refine(s, part, block) : jpeg_ac_first(s, part, block);
    else if (s->high)
        jpeg_dc_refine(s, block);
    else
        block[0] = jpeg_dc(s, part);
}

static void jpeg_restart(tini_jpeg *s) {
    s->bits = s->bit_count = s->padded = s->run = 0;
    for (uint32_t k = 0; k < s->parts; k++)
        s->part[k].before = 0;
}

/* At the marker between restarts, which must come next. */
static int jpeg_pass_restart(tini_jpeg *s, uint32_t number) {
    while (s->end - s->at >= 2 && s->at[0] == 0xFF && s->at[1] == 0xFF)
        s->at++;
    if (s->end - s->at < 2 || s->at[0] != 0xFF || s->at[1] != 0xD0 + (number & 7))
        return tini_jpeg_fail(s, "a restart marker is missing");
    s->at += 2;
    jpeg_restart(s);
    return 1;
}

int tini_jpeg_scan(tini_jpeg *s) {
    tini_jpeg_part *only = s->scanned == 1 ? s->part + s->scanning[0] : NULL;
    uint32_t across = only ? (only->width + 7) / 8 : (s->width + 8 * s->most_h - 1) / (8 * s->most_h);
    uint32_t down = only ? (only->height + 7) / 8 : (s->height + 8 * s->most_v - 1) / (8 * s->most_v);
    uint64_t count = (uint64_t)across * down;
    jpeg_restart(s);
    for (uint64_t k = 0; k < count; k++) {
        uint32_t x = (uint32_t)(k % across), y = (uint32_t)(k / across);
        if (s->restart && k && k % s->restart == 0 && !jpeg_pass_restart(s, (uint32_t)(k / s->restart) - 1))
            return 0;
        if (only)
            jpeg_block(s, only, x, y);
        for (uint32_t i = 0; i < s->scanned && !only; i++) {
            tini_jpeg_part *part = s->part + s->scanning[i];
            for (uint32_t b = 0; b < part->h * part->v; b++)
                jpeg_block(s, part, x * part->h + b % part->h, y * part->v + b / part->h);
        }
        if (s->fault)
            return 0;
        if (s->padded > s->bit_count)
            return tini_jpeg_fail(s, "it is cut short");
    }
    return 1;
}
