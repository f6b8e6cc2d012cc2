/* Drafts of an answer's next tokens, learned from a task's answers.
 *
 * A draft table maps a place of an answer to the token that followed there in training, or to copying: then the prompt's
 * text gives the next token. A key of 32 bits describes the place:
 *
 *   - the answer's shape: all of its tokens, with each stretch that it copied from the prompt as one thing;
 *   - the last 4, 2 or 1 tokens of the answer, with its beginning as one of them;
 *   - each of these, where the table says so, with each token of the prompt's end: a decision list (Yarowsky 1994), of
 *     which the surest rule that fits is taken. Such a rule may say that the words behind its token are copied;
 *   - while the answer copies words: what would be copied next, where the copy began (the two tokens before it), or both.
 *
 * Two places may share a key, so a draft may be wrong: drafts are checked.
 *
 * drafts/answer.bin, little-endian, written by tinsmith/drafts:
 *
 *   header   tini_draft_table_header (32 bytes)
 *   keys     uint32[rules]   ascending
 *   rules    uint32[rules]   the token, TINI_DRAFT_COPY to copy; from bit 22 on TINI_DRAFT_JOINED; from bit 24 on how many of
 *                            256 such drafts are right */
#ifndef TINI_DRAFT_TABLE_H
#define TINI_DRAFT_TABLE_H

#include "tokenizer.h"

#define TINI_DRAFT_MAGIC 0x46524454u /* "TDRF" */
#define TINI_DRAFT_VERSION 2u
#define TINI_DRAFT_COPY 0x3FFFFFu
#define TINI_DRAFT_JOINED 0x400000u /* there are rules of this key with tokens of the prompt */

enum {
    TINI_DRAFT_TOKENS = 256, /* of the prompt's end, behind its last image, that are looked at, */
    TINI_DRAFT_TEXT = 2048,  /* and the bytes of their text, at most */
    TINI_DRAFT_MOST = 16,    /* drafts at once */
    TINI_DRAFT_KEYS = 7,     /* keys of a place, but for those with tokens of the prompt */
    TINI_DRAFT_NOWHERE = 0xFFFF
};

typedef struct tini_draft_table_header {
    uint32_t magic, version;
    uint32_t vocab, rules;
    uint32_t reserved[4];
} tini_draft_table_header;

/* A checked view; header NULL: there is none. */
typedef struct tini_draft_table {
    const tini_draft_table_header *header;
    const uint32_t *keys, *rules;
} tini_draft_table;

/* Where an answer copies: text[end - length .. end) was copied last, behind two tokens with the hash `slot`. length 0: it
 * does not. And the answer's shape. */
typedef struct tini_copying {
    uint32_t end, length, slot;
    uint32_t shape; /* hash */
} tini_copying;

/* The end of a prompt, and how far the answer has got. */
typedef struct tini_drafter {
    const tini_tokenizer *tokenizer;
    tini_draft_table table;
    uint32_t begin; /* where the answer begins in the session's tokens */
    uint32_t known; /* its tokens before this one were followed */
    uint32_t count; /* tokens of the prompt that are looked at: the last ones before `begin` */
    tini_copying copying;
    uint32_t calibration; /* of 256 drafts that should come true, how many do; see session/speculate.c */
    int32_t table_token;  /* what the table says the next token is; -1: nothing */
    uint8_t confidence[TINI_DRAFT_MOST]; /* confidence of 256: it is of that, and of each place behind */
    uint8_t text[TINI_DRAFT_TEXT];
    uint16_t begins[TINI_DRAFT_TOKENS + 1]; /* where in the text each of them begins, and the end */
} tini_drafter;

#define TINI_DRAFTER_ROOM 2688u
_Static_assert(sizeof(tini_drafter) <= TINI_DRAFTER_ROOM, "room of a drafter");

typedef struct tini_draft_key {
    uint32_t key;
    uint32_t copied; /* where in the text is what would be copied; NOWHERE */
    int joined;      /* rules may join it with tokens of the prompt */
} tini_draft_key;

/* Checks data[size] and fills the view. Errors: ARGUMENT (not aligned to 4 bytes), FORMAT, VERSION. */
tin_status tini_draft_table_open(tini_draft_table *view, const uint8_t *data, size_t size,
                                 const tini_tokenizer *tokenizer, tin_error *error);

/* An answer begins behind tokens[count]. */
void tini_drafter_begin(tini_drafter *d, const int32_t *tokens, uint32_t count);

/* Whether, and where, an answer of which `copying` is known before tokens[at] copies with it. */
tini_copying tini_drafter_follow(const tini_drafter *d, tini_copying copying, const int32_t *tokens,
                                 uint32_t at);

/* What is seen before tokens[at], the most particular first; how much. With token k of the prompt's end, of tini_drafter->count, added to it. */
uint32_t tini_drafter_keys(const tini_drafter *d, tini_copying copying, const int32_t *tokens, uint32_t at,
                           tini_draft_key keys[TINI_DRAFT_KEYS]);
tini_draft_key tini_drafter_join(const tini_drafter *d, tini_draft_key key, const int32_t *tokens, uint32_t k);

/* The token that the text at `place` begins with, as it would stand in an answer; -1 where none does. */
int32_t tini_drafter_copied(const tini_drafter *d, uint32_t place);

/* The likeliest tokens[at] by the table, of those in the mask, or NULL; -1 where it knows none. *confidence: how many of 256 such
 * drafts are right. */
int32_t tini_drafter_next(const tini_drafter *d, tini_copying copying, const int32_t *tokens, uint32_t at,
                          const uint32_t *mask, uint32_t *confidence);

#endif
