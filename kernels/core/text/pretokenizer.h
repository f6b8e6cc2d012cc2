/* Cutting text into the pieces that byte-pair merges may not cross.
 *
 * Another pre-tokenizer is one function and one line of the table in pretokenizer.c.
 */
#ifndef TINI_PRETOKENIZER_H
#define TINI_PRETOKENIZER_H

#include <stddef.h>
#include <stdint.h>

/* Bytes (1 .. length) of the first piece of text[length], length > 0. Text is UTF-8; a byte that is no part of
 * a well-formed character counts as a character that is neither letter, number nor space. What is before
 * `text` never matters. */
typedef size_t tini_split_fn(const uint8_t *text, size_t length);

/* The function of the pre-tokenizer with GGUF's name; NULL when there is none. */
tini_split_fn *tini_split_find(const char *name);

/* The k-th name; NULL past the end. */
const char *tini_split_name(uint32_t k);

#endif
