/* The words of a prompt's question. The question is the user's last message, found by the chat template, or the
 * whole prompt if the template did not write it.
 *
 * A word is a run of ASCII letters and digits and of bytes from 128 on, in lower case; its 32 bits of FNV-1a
 * represent it. The template's own texts are recognized by their control tokens and words. So neither stripped
 * white space matters nor the template's texts behind the question: a header, thoughts, a call and a tool's
 * answer. */
#ifndef TINI_QUESTION_H
#define TINI_QUESTION_H

#include "turns.h"

/* FNV-1a of 32 bits. */
#define TINI_FNV_BASIS 2166136261u
#define TINI_FNV_PRIME 16777619u

/* The unread words: of tokens, or of a text's bytes if `text` is not NULL. */
typedef struct tini_words {
    const tini_tokenizer *tokenizer;
    const int32_t *tokens;
    uint32_t count, at; /* at: the current token */
    uint32_t byte;      /* the next byte of the token, or of the text */
    const uint8_t *text;
    uint32_t length;
} tini_words;

/* The byte of a word in lower case: a letter, a digit or a byte from 128 on; 0 for any other byte. */
static inline uint8_t tini_folded(uint8_t byte) {
    if (byte >= 'A' && byte <= 'Z')
        return byte + ('a' - 'A');
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte >= 128 ? byte : 0;
}

/* The words of tokens; a word may span several. */
tini_words tini_words_of(const tin_model *model, const int32_t *tokens, uint32_t count);

/* The next byte of text, 0 at a control token or an image. Returns 0 at the end. */
int tini_words_byte(tini_words *words, uint8_t *byte);

/* The next word. Returns 0 at the end. */
int tini_words_next(tini_words *words, uint32_t *word);

tini_words tini_question(const tin_model *model, const int32_t *prompt, uint32_t count);

#endif
