/* Text to tokens.
 *
 * The encoding is that of Hugging Face's `tokenizers`: special tokens are cut out first (leftmost, then
 * longest), what is between them is normalized, specials marked for normalized text are cut out of that, and the
 * rest is cut by the pre-tokenizer. In each piece the leftmost pair of lowest rank is merged until none is left;
 * a unigram model takes the tokens of the highest sum of scores. A character without a token is written as its
 * bytes' tokens or as the unknown token, and left out where the vocabulary has neither. */
#ifndef TINI_ENCODE_H
#define TINI_ENCODE_H

#include "tokenizer.h"

/* Bytes of scratch that tini_tokenize needs for `length` bytes of text, at most TINI_TEXT_MAX; a machine of 32
 * bits may not have as many. */
uint64_t tini_tokenize_scratch(const tini_tokenizer *view, uint64_t length);

/* Text to token ids in O(length log length), by bounds that tini_tokenizer_open enforces. Returns their number,
 * even if it exceeds `capacity` (only the first `capacity` are written). ARGUMENT for text over TINI_TEXT_MAX;
 * MEMORY for scratch that is too small or not aligned to 4 bytes.
 *
 * flags  TIN_TEXT_SPECIAL recognizes control tokens in the text (user tokens always are); without it no text makes a control
 *        token. TIN_TEXT_BOS puts the bos token first, if the file says that texts begin with one */
int64_t tini_tokenize(const tini_tokenizer *view, const char *text, size_t length, uint32_t flags,
                      int32_t *tokens, size_t capacity, void *scratch, size_t scratch_size);

/* Strips from text[length] the white space that belongs to the special tokens before and after it; -1: there is
 * none. */
void tini_special_strip(const tini_tokenizer *view, int32_t before, int32_t after, const uint8_t **text,
                        size_t *length);

/* The first control token written in text[length] at or after `at`: returns its offset, with its id in *token
 * and its end in *behind; `length` if there is none. */
size_t tini_special_control(const tini_tokenizer *view, const uint8_t *text, size_t at, size_t length,
                            int32_t *token, size_t *behind);

/* ---- For the writers of a piece's tokens: bpe.c, unigram.c ---- */

typedef struct tini_token_sink {
    int32_t *tokens;
    size_t capacity, count;
    int32_t last; /* the last of this text between specials; -1 at its beginning */
} tini_token_sink;

/* Appends the tokens of the character text[length], which has no token itself. */
void tini_put_unknown(const tini_tokenizer *view, const uint8_t *text, size_t length, tini_token_sink *out);

static inline void tini_put(tini_token_sink *out, int32_t token) {
    if (out->count < out->capacity)
        out->tokens[out->count] = token;
    out->count++;
    out->last = token;
}

/* The token of text[length], whose hash is that before tini_text_hash; -1 when there is none. Never a control
 * token, whatever the file says: its slots are only checked for numbers that are none. */
int32_t tini_text_token(const tini_tokenizer *view, const uint8_t *text, size_t length, uint32_t hash);

#endif
