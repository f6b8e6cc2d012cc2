/* Rows of a packed tensor as floats: embeddings. */
#ifndef TINI_EMBED_H
#define TINI_EMBED_H

#include <stdint.h>

/* Row `row` of a packed tensor as floats, out[inputs]; format as in formats.def. */
void tini_unpack_row(uint32_t format, float *out, const uint8_t *packed, uint32_t row, uint32_t inputs);

/* out[inputs] += weight * that row, of a format of floats. */
void tini_add_unpacked(uint32_t format, float *out, const uint8_t *packed, uint32_t row, uint32_t inputs,
                       float weight);

#endif
