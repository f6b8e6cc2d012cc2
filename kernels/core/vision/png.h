/* PNG (third edition): every kind and depth, interlaced too; of an animated one, the image that is not animated. */
#ifndef TINI_PNG_H
#define TINI_PNG_H

#include "image.h"

/* Fills in size, orientation and memory from the header and the lengths of chunks. */
tin_status tini_png_look(tini_image *p, tin_error *error);

/* Writes the pixels. memory: p->memory bytes, aligned. */
tin_status tini_png_read(const tini_image *p, void *memory, const tini_sink *sink, tin_error *error);

#endif
