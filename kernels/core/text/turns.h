/* The chat template as tables of texts, used where they lie in memory.
 *
 * turns.bin, little-endian, its parts one after the other without gaps, written by chat/packed.py:
 *
 *   header   tini_turns_header
 *   rules    tini_turn_rules[tables]
 *   words    tini_turn_word[words]
 *   first    uint32[tables * TINI_TURN_TEXTS + 1]   text k of table t is parts[first[n] .. first[n + 1]), with
 *                                                   n = t * TINI_TURN_TEXTS + k
 *   parts    tini_turn_part[parts]         plain text from where the part before ends, then perhaps a token
 *   text     uint8[text_bytes]             that of the parts, then the words
 *
 * The control tokens of the template were found when it was compiled, so nothing is searched for here, and what a
 * message says can only become text.
 */
#ifndef TINI_TURNS_H
#define TINI_TURNS_H

#include "tokenizer.h"

#define TINI_TURNS_MAGIC 0x4E525554u /* "TURN" */
#define TINI_TURNS_VERSION 2u
#define TINI_TURN_TABLES 3u /* as the template is, with thinking switched on, with it switched off */
#define TINI_TURN_NONE 0xFFFFFFFFu
#define TINI_TURN_WORD_LONGEST 1024u /* bytes: contents are searched for words */

enum {
    TINI_TURN_START_SYSTEM, /* before a system message, which can only be the first */
    TINI_TURN_START,        /* what a conversation without one begins with */
    TINI_TURN_FIRST_USER, /* before a user's content that is the first, or the first behind a system message */
    TINI_TURN_OPEN_USER,
    TINI_TURN_OPEN_ASSISTANT,
    TINI_TURN_OPEN_TOOL,
    TINI_TURN_BETWEEN_TOOLS,
    TINI_TURN_END_SYSTEM, /* four by TIN_ROLE_* */
    TINI_TURN_END_USER,
    TINI_TURN_END_ASSISTANT,
    TINI_TURN_END_TOOL,
    TINI_TURN_FINISH_USER, /* what ends a conversation where no answer is asked for; three by role */
    TINI_TURN_FINISH_ASSISTANT,
    TINI_TURN_FINISH_TOOL,
    TINI_TURN_ANSWER, /* what opens the answer to be generated */
    TINI_TURN_BEFORE_THOUGHTS,
    TINI_TURN_AFTER_THOUGHTS,
    TINI_TURN_TEXTS
};

enum {                               /* flags of a table */
       TINI_TURNS_STRICT = 1,        /* user and assistant take turns, the user first */
       TINI_TURNS_NO_SYSTEM = 2,     /* there can be no system message */
       TINI_TURNS_NO_TOOL = 4,       /* there can be no tool's message */
       TINI_TURNS_ESCAPED = 8,       /* a tool's content is written as within a JSON string */
       TINI_TURNS_BARE = 16,         /* an empty system message counts as none */
       TINI_TURNS_SINGLE = 32,       /* no answer may follow an assistant's message */
       TINI_TURNS_THOUGHTS = 64,     /* thoughts in an assistant's content are treated by `modes` */
       TINI_TURNS_LAST_ANSWER = 128, /* the last answer ends the earlier ones, not the last question */
       TINI_TURNS_ASKED = 256,       /* there must be a user's message */
       TINI_TURNS_SPELLED = 512,     /* a user's content is followed by its words, as an answer quotes them */
       TINI_TURNS_FLAGS = 1023
};

enum { TINI_STRIP_LEFT = 1, TINI_STRIP_RIGHT = 2, TINI_STRIP_LINES = 4 /* line ends alone */, TINI_STRIPS = 7 };

enum { /* contents with rules of their own about white space */
       TINI_SLOT_SYSTEM,
       TINI_SLOT_FIRST_USER, /* right behind a system message */
       TINI_SLOT_USER,
       TINI_SLOT_ASSISTANT,
       TINI_SLOT_TOOL,
       TINI_SLOTS
};

enum { /* what becomes of thoughts: left as they stand, dropped, written where there are some, written always */
       TINI_THINK_RAW,
       TINI_THINK_DROP,
       TINI_THINK_SOME,
       TINI_THINK_ALWAYS
};

typedef struct tini_turns_header {
    uint32_t magic, version;
    uint32_t tables;                  /* 1 .. TINI_TURN_TABLES */
    uint32_t table[TINI_TURN_TABLES]; /* which one; TINI_TURN_NONE for the latter two: no switch for thinking */
    uint32_t words, parts, text_bytes;
} tini_turns_header;

typedef struct tini_turn_rules {
    uint32_t flags;            /* TINI_TURNS_* */
    uint8_t strip[TINI_SLOTS]; /* TINI_STRIP_*: what is dropped around a content */
    uint8_t modes[3];          /* TINI_THINK_*: of earlier answers, of later ones, of one at the end */
    uint8_t thoughts, rest;    /* TINI_STRIP_*: what is dropped around thoughts, and around what follows them */
    uint8_t reserved[2];
} tini_turn_rules;

/* A text that a role's content can't hold, since the template would treat it in a way of its own. No length: a
 * content can't be empty. */
typedef struct tini_turn_word {
    uint32_t table, role;
    uint32_t begin, length; /* in text; at most TINI_TURN_WORD_LONGEST */
} tini_turn_word;

typedef struct tini_turn_part {
    uint32_t end;  /* in text */
    int32_t token; /* a control token, or -1 */
} tini_turn_part;

/* A checked view; `data` must stay readable and unchanged as long as it is used. header is NULL where a model has
 * no template. */
typedef struct tini_turns {
    const tini_turns_header *header;
    const tini_turn_rules *rules;
    const tini_turn_word *words;
    const uint32_t *first;
    const tini_turn_part *parts;
    const uint8_t *text;
} tini_turns;

/* Checks every count and offset of data[size] (aligned to 4 bytes) and fills the view; its tokens are for
 * tini_turns_agree to check. Errors: FORMAT, VERSION. */
tin_status tini_turns_open(tini_turns *view, const uint8_t *data, size_t size, tin_error *error);

/* Whether its tokens are control tokens of the tokenizer. Errors: FORMAT. */
tin_status tini_turns_agree(const tini_turns *turns, const tini_tokenizer *tokenizer, tin_error *error);

/* ---- With images: vision/vision.c ---- */

/* The tokens of a conversation, as they are made. Template and contents between two control tokens are ONE run of
 * plain text: the tokens are those of the rendered text. */
typedef struct tini_turn_sink {
    const tini_tokenizer *tokenizer;
    const struct tini_turn_images *images; /* NULL: there are none */
    const tini_turns *turns;
    uint32_t table;
    uint8_t *run;           /* NULL: only measure */
    size_t length, longest; /* of the run under way, and of the longest */
    int32_t *tokens;
    size_t capacity;
    int64_t count;
    int32_t before; /* the control token before the run, or -1 */
    void *scratch;
    size_t scratch_size;
    tin_error *error;
} tini_turn_sink;

/* Images, and what writes one: the k-th before a content. */
typedef struct tini_turn_images {
    const tin_image *images;
    uint32_t count;
    tin_status (*put)(void *context, tini_turn_sink *sink, const tin_image *image, uint32_t k);
    void *context;
} tini_turn_images;

/* As tin_template_scratch and tin_template_chat, with images; NULL: there are none. */
size_t tini_turns_scratch(const tin_model *model, const void *turns, size_t size, const tin_message *messages,
                          uint32_t count, const tini_turn_images *images, tin_error *error);
int64_t tini_turns_chat(const tin_model *model, const void *turns, size_t size, const tin_message *messages,
                        uint32_t count, const tini_turn_images *images, uint32_t flags, int32_t *tokens,
                        size_t capacity, void *scratch, size_t scratch_size, tin_error *error);

/* Text of the file's, in which control tokens count. */
tin_status tini_turn_put(tini_turn_sink *sink, const uint8_t *text, size_t length);
/* TIN_EMBEDDED `count` times, where `image` would stand. Returns the place of the first, which is right where the sink
 * is not one that only measures. */
int64_t tini_turn_rows(tini_turn_sink *sink, int32_t image, uint32_t count);
/* Takes the text from the end of what was put since the last control token, where that ends so. */
void tini_turn_drop(tini_turn_sink *sink, const uint8_t *text, size_t length);
int tini_turn_measures(const tini_turn_sink *sink);

/* A model's, from seal/model.c. */
const tini_turns *tini_model_turns(const tin_model *model);

#endif
