/* An image on its way to patches, a row of a view at a time: tin_pixels_make of tin.h in slices. */
#ifndef TINI_PIXELS_H
#define TINI_PIXELS_H

#include "resample.h"

/* Places in the working memory, in bytes; those of all. */
typedef struct tini_pixels_layout {
    uint64_t row, values, resample, kept[TIN_MAX_VIEWS], total;
} tini_pixels_layout;

typedef struct tini_pixels {
    const tin_pixels_rules *rules;
    const uint8_t *rgb;
    size_t stride;
    tin_pixels_plan plan;
    tini_pixels_layout at;
    uint8_t *base;
    float *values, *rows; /* rows: of the view under way */
    uint32_t view, y;     /* and its row, which comes next */
    tini_resample resample;
} tini_pixels;

/* As tin_pixels_make, whose memory, pixels and rules must stay until no row is left. */
tin_status tini_pixels_begin(tini_pixels *p, const tin_pixels_rules *rules, const uint8_t *rgb, size_t stride,
                             uint32_t width, uint32_t height, void *memory, size_t memory_size, float *rows,
                             size_t count, tin_error *error);

/* Makes the next row; 0 where none is left. */
int tini_pixels_row(tini_pixels *p);

#endif
