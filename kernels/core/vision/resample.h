/* Resizing as Pillow 13.0 defines it: for every output the inputs under a filter that is as wide as the shrinking asks
 * for, weights in double rounded to 22 bits, across first and then down, each result rounded to 8 bits. Down comes
 * first where the height loses more than twice what the width does; Pillow before 13 did that only of images 100
 * times as high as wide. */
#ifndef TINI_RESAMPLE_H
#define TINI_RESAMPLE_H

#include "../../include/tin.h"

/* What one axis needs: for each output the inputs from `first` on, `count` of them, and their weights. */
typedef struct tini_axis {
    uint32_t in, out, room;  /* room: weights of each output */
    uint32_t *first, *count; /* [out] */
    int32_t *weights;        /* [out][room], times 2^22 */
} tini_axis;

typedef struct tini_resample {
    tini_axis across, down;
    int down_first;
    uint8_t
        *ring; /* uint8[down.room][across.out][3]: rows that are done across, by their number modulo room; or
                      uint8[across.in][3]: the row that is done down */
    uint32_t done;      /* rows done across */
    const uint8_t *rgb; /* uint8[down.in][across.in][3], rows `stride` apart */
    size_t stride;
} tini_resample;

/* The bytes that resizing by `filter` takes. Sizes are 1 or more, and at most 65535 in, 32768 out. */
uint64_t tini_resample_size(uint32_t filter, uint32_t width, uint32_t height, uint32_t to_width,
                            uint32_t to_height);

/* Prepares in memory of that size, aligned. */
void tini_resample_begin(tini_resample *r, uint32_t filter, const uint8_t *rgb, size_t stride, uint32_t width,
                         uint32_t height, uint32_t to_width, uint32_t to_height, void *memory);

/* Makes row y: uint8[across.out][3]. Rows come in order. */
void tini_resample_row(tini_resample *r, uint32_t y, uint8_t *out);

#endif
