/* A unigram model's encoding of one piece of text: the tokens of the highest sum of scores. */
#ifndef TINI_UNIGRAM_H
#define TINI_UNIGRAM_H

#include "encode.h"

/* Appends the piece's tokens. words: [tini_piece_words(length)]. */
void tini_unigram_piece(const tini_tokenizer *view, const uint8_t *text, size_t length, tini_token_sink *out,
                        uint32_t *words);

#endif
