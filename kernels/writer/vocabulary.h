/* The build side of tokenizer.bin (core/text/tokenizer.h). */
#ifndef TINI_WRITER_VOCABULARY_H
#define TINI_WRITER_VOCABULARY_H

#include "../core/text/tokenizer.h"

/* Fills in what is computed: both hashes and, in a character model, the joints; then marks the tokens that are whole.
 * data[size]: a tokenizer.bin with these parts as they may be and without a TINI_TOKEN_WHOLE. all: every normal token
 * is whole (no merges where a piece is in the vocabulary); else those that their own merges lead to. is_text[vocab]:
 * whether the token stands for its bytes where they are met in text. words[tini_vocabulary_words]. Errors: those of
 * tini_tokenizer_open. */
tin_status tini_vocabulary_index(uint8_t *data, size_t size, int all, const uint8_t *is_text, uint32_t *words,
                                 tin_error *error);

/* Words of working memory that indexing needs. data[size] has been checked by nobody; its header is read. */
size_t tini_vocabulary_words(const uint8_t *data, size_t size);

#endif
