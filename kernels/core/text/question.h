/* The words of a prompt's question: the user's last message, as the chat template has it, or the whole prompt where it is
 * none of the template's.
 *
 * A word is a run of ASCII letters and digits and of bytes from 128 on, letters as small ones; it stands for its 32 bits of
 * FNV-1a. The template's own texts are known by their control tokens and words, so that it does not matter what white space
 * was stripped, nor what the template writes behind the question: a header, thoughts, a call and a tool's answer. */
#ifndef TINI_QUESTION_H
#define TINI_QUESTION_H

#include "turns.h"

/* FNV-1a of 32 bits. */
#define TINI_FNV_BASIS 2166136261u
#define TINI_FNV_PRIME 16777619u

/* What is left to read: of tokens, or where `text` is not NULL of its bytes. */
typedef struct tini_words {
    const tini_tokenizer *tokenizer;
    const int32_t *tokens;
    uint32_t count, at; /* the token that is read */
    uint32_t byte;      /* its next one, or the text's */
    const uint8_t *text;
    uint32_t length;
} tini_words;

/* A small letter, a digit or another of a word's bytes; 0: it is none. */
static inline uint8_t tini_folded(uint8_t byte) {
    if (byte >= 'A' && byte <= 'Z')
        return byte + ('a' - 'A');
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte >= 128 ? byte : 0;
}

/* The words of tokens, which may have parts of them. */
tini_words tini_words_of(const tin_model *model, const int32_t *tokens, uint32_t count);

/* The next byte of text, which is 0 at a control token or an image's. Returns 0 where there is none any more. */
int tini_words_byte(tini_words *words, uint8_t *byte);

/* 0: there is none any more. */
int tini_words_next(tini_words *words, uint32_t *word);

tini_words tini_question(const tin_model *model, const int32_t *prompt, uint32_t count);

#endif
