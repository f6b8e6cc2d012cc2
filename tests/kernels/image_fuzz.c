/* libFuzzer: an image's file, and what an image processor's rules make of it. What is read and refused, and every pixel,
 * must not depend on what the memory held. */
#include "moves.h"

enum { MOST = 1 << 18 }; /* small, since every byte is filled and compared */

/* The first byte of an input. */
enum { REPAIRED = 1, ONCE = 2, LARGE = 4 };

/* The checksums of a PNG's chunks made right, so that damage gets past them. */
static void repair(uint8_t *file, size_t size) {
    for (size_t at = 8; size >= 20 && at <= size - 12;) {
        size_t length = (size_t)file[at] << 24 | file[at + 1] << 16 | file[at + 2] << 8 | file[at + 3];
        if (length > size - 12 - at)
            return;
        uint32_t crc = ~0u;
        for (size_t k = at + 4; k < at + 8 + length; k++) {
            crc ^= file[k];
            for (int bit = 0; bit < 8; bit++)
                crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
        for (int k = 0; k < 4; k++)
            file[at + 8 + length + k] = (uint8_t)(~crc >> (24 - 8 * k));
        at += 12 + length;
    }
}

static uint8_t *filled(size_t size, int with) {
    uint8_t *block = moves_aligned(size);
    memset(block, with, size ? size : 1);
    return block;
}

static uint8_t *read_once(const uint8_t *file, size_t size, const tin_image_info *info, int with,
                          tin_status *status) {
    uint8_t *memory = filled(info->memory, with), *rgb = filled(info->rgb, with);
    *status = tin_image_read(file, size, memory, info->memory, rgb, info->rgb, NULL);
    free(memory);
    return rgb;
}

/* large: to edges and tiles as models have them, and further. */
static tin_pixels_rules rules_of(script *s, int large) {
    tin_pixels_rules rules = {.scale = 1.0 / 255,
                              .mean = {0.5f, 0.5f, 0.5f},
                              .std = {0.5f, 0.5f, 0.5f},
                              .tiling = next_byte(s) % 6,
                              .filter = next_byte(s) % 5,
                              .patch = next_byte(s) % 20,
                              .merge = 1 + next_byte(s) % 3 / 2,
                              .frames = next_byte(s) % 3,
                              .width = next_byte(s),
                              .height = next_byte(s),
                              .edge = next_byte(s),
                              .tile = next_byte(s),
                              .min_tiles = next_byte(s) % 16,
                              .max_tiles = next_byte(s) % 16,
                              .thumbnail = next_byte(s) % 2,
                              .factor = next_byte(s),
                              .min_pixels = next_word(s),
                              .max_pixels = next_word(s),
                              .tolerance = (float)next_byte(s) / 64};
    if (large) {
        rules.edge *= 33;
        rules.tile *= 4;
        rules.min_pixels *= 64;
        rules.max_pixels *= 64;
    }
    return rules;
}

static float *pixels_once(const tin_pixels_rules *rules, const uint8_t *rgb, const tin_pixels_plan *plan,
                          int with) {
    size_t count = (size_t)plan->rows * plan->columns;
    uint8_t *memory = filled(plan->memory, with);
    float *rows = (float *)filled(count * sizeof *rows, with);
    if (tin_pixels_make(rules, rgb, 3 * (size_t)plan->width, plan->width, plan->height, memory, plan->memory,
                        rows, count, NULL))
        abort();
    free(memory);
    return rows;
}

static void make_pixels(script *s, uint32_t bits, const uint8_t *rgb, uint32_t width, uint32_t height) {
    tin_pixels_rules rules = rules_of(s, bits & LARGE);
    tin_pixels_plan plan;
    if (tin_pixels_size(&rules, width, height, &plan, NULL))
        return;
    size_t bytes = (size_t)plan.rows * plan.columns * sizeof(float);
    if (bytes > MOST || plan.memory > MOST)
        return;
    float *one = pixels_once(&rules, rgb, &plan, 0);
    if (!(bits & ONCE)) {
        float *other = pixels_once(&rules, rgb, &plan, 0xA5);
        if (memcmp(one, other, bytes))
            abort();
        free(other);
    }
    free(one);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The rules' bytes, then the file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { RULES = 20 };
    if (size < RULES)
        return 0;
    script s = {data, RULES};
    uint32_t bits = next_byte(&s);
    size -= RULES;
    uint8_t *file = moves_aligned(size);
    memcpy(file, data + RULES, size);
    if (bits & REPAIRED)
        repair(file, size);
    tin_image_info info;
    if (tin_image_look(file, size, MOST, &info, NULL) == TIN_OK) {
        tin_status one_status, other_status;
        uint8_t *one = read_once(file, size, &info, 0, &one_status);
        if (!(bits & ONCE)) {
            uint8_t *other = read_once(file, size, &info, 0xA5, &other_status);
            if (one_status != other_status || (!one_status && memcmp(one, other, info.rgb)))
                abort();
            free(other);
        }
        if (!one_status)
            make_pixels(&s, bits, one, info.width, info.height);
        free(one);
    }
    free(file);
    return 0;
}
