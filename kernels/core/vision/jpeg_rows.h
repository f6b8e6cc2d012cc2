/* A JPEG's coefficients to samples, and samples to rows of RGB. */
#ifndef TINI_JPEG_ROWS_H
#define TINI_JPEG_ROWS_H

#include "jpeg.h"

/* The samples of a block: to[8][8], rows `stride` apart. block: int16[64] in rows, not yet multiplied by table. */
void tini_jpeg_transform(const int16_t *block, const uint16_t *table, uint8_t *to, size_t stride);

/* Writes all rows in colour. */
void tini_jpeg_rows(tini_jpeg *s, const tini_sink *sink);

#endif
