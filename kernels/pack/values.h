/* Parts of a GGUF matrix as floats or bfloat16, fast: what training multiplies by.
 *
 * Training is not under the bit contract, but no sum occurs here, so each instruction set's loops, the same C
 * compiled for it, give the values of tini_dequantize.
 */
#ifndef TINI_VALUES_H
#define TINI_VALUES_H

#include <stddef.h>
#include <stdint.h>

/* Rows first, first + 1, … of the matrix, or where `order` is not NULL rows order[first], order[first + 1], …;
 * columns in whole blocks of the format. */
typedef struct tini_part {
    uint32_t first, rows, column, columns;
    const uint32_t *order;
} tini_part;

/* Writes the part of gguf [..][inputs] to out [rows][columns]: float32, or bfloat16 (to nearest even) where `narrow`.
 * The caller has checked format, sizes, and that the part is inside. */
void tini_values(int format, void *out, int narrow, const uint8_t *gguf, uint32_t inputs,
                 const tini_part *part);

/* The same by one set of instructions, the worst is 0. Returns 0; -1 where this build or processor has no such. */
int tini_values_by(uint32_t set, int format, void *out, int narrow, const uint8_t *gguf, uint32_t inputs,
                   const tini_part *part);

#endif
