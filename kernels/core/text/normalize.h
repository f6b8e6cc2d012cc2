/* Normalization of text for the vocabulary: Unicode's normal form C, or SentencePiece's spaces. */
#ifndef TINI_NORMALIZE_H
#define TINI_NORMALIZE_H

#include <stddef.h>
#include <stdint.h>

/* The most bytes of normal form C that a byte of text makes (U+1D160). */
#define TINI_NFC_GROWTH 3

/* Words of working memory for a text of `length` bytes: its decomposed characters, twice. At most 3 of them come
 * of a character of two bytes, 4 of one of three. */
#define TINI_NFC_WORDS(length) (3 * (length) + 8)

/* Bytes of text[length] that are in normal form C, whatever follows; in most texts, all. */
size_t tini_nfc_good(const uint8_t *text, size_t length);

/* Writes text[length] in normal form C, as Hugging Face's `tokenizers` has it, to out[TINI_NFC_GROWTH * length];
 * returns its bytes. A byte that is no part of a well-formed character stays. words: [TINI_NFC_WORDS(length)]. */
size_t tini_nfc(const uint8_t *text, size_t length, uint8_t *out, uint32_t *words);

/* Copies text[length] with each U+2581, by which SentencePiece writes a space, as a space; returns its bytes. */
size_t tini_spaces(const uint8_t *text, size_t length, uint8_t *out);

#endif
