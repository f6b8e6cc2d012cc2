/* Byte-pair encoding of one piece of text. */
#ifndef TINI_BPE_H
#define TINI_BPE_H

#include "encode.h"

/* Words of working memory for a piece of `length` bytes, whatever the model. */
uint64_t tini_piece_words(const tini_tokenizer *view, uint64_t length);

/* Appends the tokens of a piece that no merge leaves. words: [tini_piece_words(length)]. */
void tini_bpe_piece(const tini_tokenizer *view, const uint8_t *text, size_t length, tini_token_sink *out,
                    uint32_t *words);

#endif
