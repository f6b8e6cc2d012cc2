/* Images in files, and where their pixels go. A format is read in two steps: the header alone says the size, how the
 * image lies and the memory that reading takes; then the pixels are written in that memory's help, turned as EXIF
 * says. */
#ifndef TINI_IMAGE_H
#define TINI_IMAGE_H

#include "../../include/tin.h"

enum { TINI_IMAGE_EDGE = 65535 }; /* the longest that is read, of either format */

typedef struct tini_image {
    const uint8_t *file;
    size_t size;
    uint32_t width, height; /* as stored */
    uint32_t orientation;   /* EXIF's, 1 to 8 */
    uint64_t memory;        /* bytes that reading takes, pixels not among them */
} tini_image;

/* Pixel (x, y) as stored goes to at + x * across + y * down, 3 bytes of RGB. */
typedef struct tini_sink {
    uint8_t *at;
    ptrdiff_t across, down;
} tini_sink;

static inline uint32_t tini_big_u16(const uint8_t *p) {
    return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t tini_big_u32(const uint8_t *p) {
    return tini_big_u16(p) << 16 | tini_big_u16(p + 2);
}

/* A pixel over white as Pillow's alpha_composite has it: rounded to nearest. */
static inline uint8_t tini_over_white(uint32_t value, uint32_t alpha) {
    uint32_t sum = value * alpha + 255 * (255 - alpha) + 128;
    return (uint8_t)((sum + (sum >> 8)) >> 8);
}

/* The orientation that TIFF data (EXIF's) state; 1 where they state none, or are damaged. */
uint32_t tini_exif_orientation(const uint8_t *data, size_t size);

/* One line of an image that can't be read. */
tin_status tini_image_fail(tin_error *error, tin_status status, const char *what);

#endif
