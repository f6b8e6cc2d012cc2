/* The chat template as a table of texts, used where it lies in memory.
 *
 * turns.bin, little-endian, its parts one after the other without gaps, written by compiler/turns.py:
 *
 *   header   tini_turns_header
 *   first    uint32[TINI_TURN_TEXTS + 1]   text k is parts[first[k] .. first[k + 1])
 *   parts    tini_turn_part[parts]         plain text from where the part before ends, then perhaps a token
 *   text     uint8[text_bytes]
 *
 * The control tokens of the template were found when it was compiled, so nothing is searched for here, and what a
 * message says can only become text.
 */
#ifndef TINI_TURNS_H
#define TINI_TURNS_H

#include "tokenizer.h"

#define TINI_TURNS_MAGIC 0x4E525554u /* "TURN" */
#define TINI_TURNS_VERSION 1u

enum {
    TINI_TURN_START_SYSTEM, /* before a system message, which can only be the first */
    TINI_TURN_START,        /* what a conversation without one begins with */
    TINI_TURN_OPEN_USER,
    TINI_TURN_OPEN_ASSISTANT,
    TINI_TURN_END_SYSTEM,
    TINI_TURN_END_USER,
    TINI_TURN_END_ASSISTANT,
    TINI_TURN_ANSWER, /* what opens the answer to be generated */
    TINI_TURN_TEXTS
};

enum { TINI_TURNS_STRIP = 1 }; /* white space around a message's content is dropped */

typedef struct tini_turns_header {
    uint32_t magic, version;
    uint32_t flags; /* TINI_TURNS_* */
    uint32_t parts, text_bytes;
} tini_turns_header;

typedef struct tini_turn_part {
    uint32_t end;  /* in text */
    int32_t token; /* a control token, or -1 */
} tini_turn_part;

/* A checked view; `data` must stay readable and unchanged as long as it is used. header is NULL where a model has
 * no template. */
typedef struct tini_turns {
    const tini_turns_header *header;
    const uint32_t *first;
    const tini_turn_part *parts;
    const uint8_t *text;
} tini_turns;

/* Checks every count, offset and token of data[size] (aligned to 4 bytes) and fills the view. Errors: FORMAT,
 * VERSION. */
tin_status tini_turns_open(tini_turns *view, const tini_tokenizer *tokenizer, const uint8_t *data, size_t size,
                           tin_error *error);

#endif
