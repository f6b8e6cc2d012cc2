/* One piece of text to tokens: what bpe.c and unigram.c give to encode.c. */
#ifndef TINI_ENCODE_H
#define TINI_ENCODE_H

#include "tokenizer.h"

typedef struct tini_token_sink {
    int32_t *tokens;
    size_t capacity, count;
    int32_t last; /* of this text between specials; -1 at its beginning */
} tini_token_sink;

/* Words of working memory for a piece of `length` bytes. */
uint64_t tini_piece_words(const tini_tokenizer *view, uint64_t length);

/* Appends the tokens of a piece that no merge leaves. words: [tini_piece_words(length)]. */
void tini_bpe_piece(const tini_tokenizer *view, const uint8_t *text, size_t length, tini_token_sink *out,
                    uint32_t *words);
void tini_unigram_piece(const tini_tokenizer *view, const uint8_t *text, size_t length, tini_token_sink *out,
                        uint32_t *words);

/* Appends the tokens of the character text[length], which has none itself. */
void tini_put_unknown(const tini_tokenizer *view, const uint8_t *text, size_t length, tini_token_sink *out);

static inline void tini_put(tini_token_sink *out, int32_t token) {
    if (out->count < out->capacity)
        out->tokens[out->count] = token;
    out->count++;
    out->last = token;
}

/* The token of text[length], whose hash is that before tini_text_hash; -1 when there is none. Never a control token,
 * whatever the file says: its slots are only checked for numbers that are none. */
int32_t tini_text_token(const tini_tokenizer *view, const uint8_t *text, size_t length, uint32_t hash);

#endif
