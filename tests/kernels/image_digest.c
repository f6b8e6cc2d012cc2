/* Reads the images that it is given and prints, of each, a hash of its pixels and of what every way of cutting makes of
 * them by every filter, or the line that refuses it: the same on every machine. */
#include "../../kernels/core/base/hash.h"
#include "../../kernels/include/tin.h"

#include <stdio.h>
#include <stdlib.h>

static void *taken(size_t size) {
    void *block = aligned_alloc(TIN_ALIGNMENT, (size / TIN_ALIGNMENT + 1) * TIN_ALIGNMENT);
    if (!block)
        exit(2);
    return block;
}

static uint64_t cut(const uint8_t *rgb, const tin_image_info *info, uint32_t tiling, uint32_t filter,
                    uint64_t hash) {
    tin_pixels_rules rules = {.scale = 1.0 / 255,
                              .mean = {0.48145466f, 0.4578275f, 0.40821073f},
                              .std = {0.26862954f, 0.26130258f, 0.27577711f},
                              .tiling = tiling,
                              .filter = filter,
                              .patch = 16,
                              .merge = 1,
                              .width = 96,
                              .height = 80,
                              .edge = 192,
                              .tile = 64,
                              .min_tiles = 2,
                              .max_tiles = 10,
                              .thumbnail = 1,
                              .factor = 32,
                              .min_pixels = 4096,
                              .max_pixels = 16384,
                              .tolerance = 2};
    tin_pixels_plan plan;
    if (tin_pixels_size(&rules, info->width, info->height, &plan, NULL))
        return hash;
    size_t count = (size_t)plan.rows * plan.columns;
    void *memory = taken(plan.memory);
    float *rows = taken(count * sizeof *rows);
    if (tin_pixels_make(&rules, rgb, 3 * (size_t)info->width, info->width, info->height, memory, plan.memory,
                        rows, count, NULL))
        exit(2);
    hash = tini_hash(rows, count * sizeof *rows, hash);
    free(memory);
    free(rows);
    return hash;
}

static void digest(const uint8_t *file, size_t size) {
    tin_image_info info;
    tin_error error;
    if (tin_image_look(file, size, 1 << 26, &info, &error)) {
        printf("%s\n", error.text);
        return;
    }
    void *memory = taken(info.memory);
    uint8_t *rgb = taken(info.rgb);
    if (tin_image_read(file, size, memory, info.memory, rgb, info.rgb, &error)) {
        printf("%s\n", error.text);
    } else {
        uint64_t hash = tini_hash(rgb, info.rgb, 0);
        for (uint32_t tiling = TIN_TILING_PLAIN; tiling <= TIN_TILING_SMART; tiling++)
            for (uint32_t filter = TIN_FILTER_LANCZOS; filter <= TIN_FILTER_BICUBIC; filter++)
                hash = cut(rgb, &info, tiling, filter, hash);
        printf("%016llx\n", (unsigned long long)hash);
    }
    free(memory);
    free(rgb);
}

int main(int count, char **paths) {
    static uint8_t file[1 << 20];
    for (int k = 1; k < count; k++) {
        FILE *from = fopen(paths[k], "rb");
        if (!from)
            return 2;
        digest(file, fread(file, 1, sizeof file, from));
        fclose(from);
    }
    return 0;
}
