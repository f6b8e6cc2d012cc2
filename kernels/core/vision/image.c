#include "image.h"
#include "../base/error.h"
#include "../base/region.h"
#include "jpeg.h"
#include "png.h"

#include <string.h>

TINI_REGION_COLD

tin_status tini_image_fail(tin_error *error, tin_status status, const char *what) {
    return tini_fail(error, status, "the image can't be read: %s; save it again as a PNG or JPEG file", what);
}

uint32_t tini_exif_orientation(const uint8_t *data, size_t size) {
    if (size < 8 || (memcmp(data, "II*", 4) && memcmp(data, "MM\0*", 4)))
        return 1;
    int big = data[0] == 'M';
    uint32_t place =
        big ? tini_big_u32(data + 4)
            : (uint32_t)data[4] | (uint32_t)data[5] << 8 | (uint32_t)data[6] << 16 | (uint32_t)data[7] << 24;
    if (place > size - 2)
        return 1;
    uint32_t count = big ? tini_big_u16(data + place) : (uint32_t)(data[place] | data[place + 1] << 8);
    const uint8_t *entry = data + place + 2;
    for (size_t left = size - place - 2; count && left >= 12; count--, left -= 12, entry += 12) {
        uint32_t tag = big ? tini_big_u16(entry) : (uint32_t)(entry[0] | entry[1] << 8);
        uint32_t type = big ? tini_big_u16(entry + 2) : (uint32_t)(entry[2] | entry[3] << 8);
        if (tag != 0x112)
            continue;
        uint32_t value = type == 3 && big ? tini_big_u16(entry + 8)
                         : type == 3      ? (uint32_t)(entry[8] | entry[9] << 8)
                                          : 1;
        return value >= 1 && value <= 8 ? value : 1;
    }
    return 1;
}

static tin_status image_open(tini_image *p, const void *file, size_t size, tin_error *error) {
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', 13, 10, 26, 10};
    if (!file || !size)
        return tini_fail(error, TIN_ERR_ARGUMENT, "no image was given; give the bytes of a PNG or JPEG file");
    *p = (tini_image){.file = file, .size = size, .orientation = 1};
    if (size >= sizeof png && !memcmp(file, png, sizeof png))
        return tini_png_look(p, error);
    if (size >= 3 && !memcmp(file, "\xFF\xD8\xFF", 3))
        return tini_jpeg_look(p, error);
    return tini_image_fail(error, TIN_ERR_UNSUPPORTED, "it is neither PNG nor JPEG");
}

tin_status tin_image_look(const void *file, size_t size, uint64_t most, tin_image_info *info,
                          tin_error *error) {
    tini_image p = {0};
    tin_status status = image_open(&p, file, size, error);
    if (status)
        return status;
    if (!info)
        return tini_fail(error, TIN_ERR_ARGUMENT, "info is NULL; give a tin_image_info");
    int turned = p.orientation >= 5;
    uint64_t rgb = (uint64_t)p.width * p.height * 3, all = rgb + p.memory;
    if (all > most || all > SIZE_MAX / 2)
        return tini_fail(error, TIN_ERR_MEMORY,
                         "the image of %u x %u takes %llu bytes to read; the limit is %llu; make it smaller",
                         p.width, p.height, (unsigned long long)all, (unsigned long long)most);
    info->width = turned ? p.height : p.width;
    info->height = turned ? p.width : p.height;
    info->rgb = (size_t)rgb;
    info->memory = (size_t)p.memory;
    return TIN_OK;
}

/* Where the pixels go so that the image stands as EXIF says: from 5 on, rows become columns. */
static tini_sink image_sink(const tini_image *p, uint8_t *rgb) {
    static const uint8_t from_right[9] = {0, 0, 1, 1, 0, 0, 0, 1, 1},
                         from_below[9] = {0, 0, 0, 1, 1, 0, 1, 1, 0};
    int turned = p->orientation >= 5;
    ptrdiff_t width = turned ? (ptrdiff_t)p->height : (ptrdiff_t)p->width;
    tini_sink sink = {rgb, turned ? 3 * width : 3, turned ? 3 : 3 * width};
    if (from_right[p->orientation]) {
        sink.at += ((ptrdiff_t)p->width - 1) * sink.across;
        sink.across = -sink.across;
    }
    if (from_below[p->orientation]) {
        sink.at += ((ptrdiff_t)p->height - 1) * sink.down;
        sink.down = -sink.down;
    }
    return sink;
}

tin_status tin_image_read(const void *file, size_t size, void *memory, size_t memory_size, uint8_t *rgb,
                          size_t rgb_size, tin_error *error) {
    tini_image p = {0};
    tin_status status = image_open(&p, file, size, error);
    if (status)
        return status;
    if (!rgb || rgb_size < (uint64_t)p.width * p.height * 3)
        return tini_fail(error, TIN_ERR_MEMORY, "%llu bytes for RGB; the image of %u x %u takes %llu",
                         (unsigned long long)(rgb ? rgb_size : 0), p.width, p.height,
                         (unsigned long long)p.width * p.height * 3);
    if (!memory || (uintptr_t)memory % TIN_ALIGNMENT || memory_size < p.memory)
        return tini_fail(error, TIN_ERR_MEMORY,
                         "%llu bytes of memory; reading the image takes %llu, aligned to %u",
                         (unsigned long long)(memory ? memory_size : 0), (unsigned long long)p.memory,
                         (uint32_t)TIN_ALIGNMENT);
    tini_sink sink = image_sink(&p, rgb);
    /* What was opened has bytes. */
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
    return p.file[0] == 0xFF ? tini_jpeg_read(&p, memory, &sink, error)
                             : tini_png_read(&p, memory, &sink, error);
}

TINI_REGION_END
