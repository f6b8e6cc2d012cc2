/* What the parts of tin_host share: memory, failures, and what handles hold. */
#ifndef TINI_HOST_H
#define TINI_HOST_H

#include "../include/tin_host.h"
#include "../core/base/thread.h"

#include <stdlib.h>
#include <string.h>

/* LOOKUP: most drafts by what stands earlier. DRAFTED: those that a draft table may make, of which it says how many. */
enum { TINI_HOST_ADAPTERS = 8, TINI_HOST_LOOKUP = 4, TINI_HOST_DRAFTED = 16 };

/* Zeros, aligned as tin.h asks. data is NULL where there is no memory. */
typedef struct tini_block {
    void *start, *data;
    size_t size;
} tini_block;

tini_block tini_block_take(size_t size);
void tini_block_drop(tini_block *block);

/* A skill: the file itself, or one of its adapters, with what it brings. */
typedef struct tini_skill {
    char *name; /* NULL for the file's own */
    tin_adapter *adapter;
    tini_block memory;
    const void *turns, *answer, *draft; /* entries, or NULL */
    size_t turns_size, answer_size, draft_size;
} tini_skill;

struct tinhost_model {
    tini_atomic64 holders; /* the caller and the sessions */
    tin_error error;
    const void *file;
    size_t file_size;
    int mapped;
    tini_block copy, memory;
    tin_model *core;
    tin_model_info info;
    tini_skill *skills; /* [skill_count], the file's own first */
    uint32_t skill_count;
    uint32_t rank, longest; /* the highest of its adapters; bytes of its longest token */
    int drafts;             /* whether a skill has a draft table */
    char *entry;            /* the last that tinhost_entry gave */
};

/* A constraint, made when it is first needed. */
typedef struct tini_host_constraint {
    tini_block memory;
    tin_constraint *made;
} tini_host_constraint;

/* A message, and the images that stand before its text, each with pixels of its own. */
typedef struct tini_host_message {
    int32_t role;
    char *text;
    tin_image *images; /* [image_count] */
    int32_t image_count;
} tini_host_message;

struct tinhost_session {
    tinhost_model *model;
    tin_error error;
    tini_block memory, pool_memory, record;
#ifndef TIN_NO_POOL
    tin_pool *pool;
#endif
    tin_session *core;
    const tin_executor *executor; /* or NULL */
    uint32_t context;

    const tini_skill *applied[TINI_HOST_ADAPTERS];
    float scales[TINI_HOST_ADAPTERS];
    uint32_t applied_count;
    const tini_skill *drafting;        /* whose draft table the session has */
    tini_host_constraint *constraints; /* [skill_count] */
    int32_t constrained, think;
    tin_sampling sampling;

    tini_host_message *messages; /* [talk_room] */
    int32_t message_count, message_capacity;
    tini_host_message pending; /* its images are the next message's of the user */

    struct tin_vision *vision; /* of the conversation that is being seen before its answer begins, or NULL */
    tini_block vision_memory;
    int32_t most_tokens; /* of that answer */

    /* The answer: bytes as they come, of which `whole` were made characters in `text`. */
    int under_way, is_message, opened,
        handed_over; /* opened: the prompt opens its thoughts. handed_over: to a message */
    uint8_t *bytes;
    char *lead, *text, *piece; /* lead: what text lies in; piece: the end of text; both end with a NUL */
    size_t byte_count, whole, text_length;
    int32_t tokens;
    uint64_t digest;

    tini_host_constraint
        choice; /* of the last tinhost_choose, with its automaton and its options, a NUL behind each */
    tini_block automaton;
    char *options;
    int32_t option_count, chosen;
    int choosing; /* the answer is one of them */
};

/* Notes a failure of the session, and returns its status. `text` may be the session's own. */
int32_t tini_host_fail(tinhost_session *session, int32_t status, const char *text);

/* TIN_OK where the session is open and has no answer under way. */
int32_t tini_host_ready(tinhost_session *session);

/* ---- file.c */
tini_skill *tini_host_skill(const tinhost_model *model, const char *name);
void tini_host_hold(tinhost_model *model);

/* ---- session.c */
uint64_t tini_host_clock(void *unused);
/* A host's number as the core has it, rounded once: what is tested and kept is this. Infinite where it is too large. */
float tini_host_float(double value);
int32_t tini_host_apply(tinhost_session *session, const tini_skill *skill, float scale);
void tini_host_bare(tinhost_session *session); /* takes off all adapters */

/* Holds the next answer to the skill's constraint, or to the one in data[size], which is made if `held` has none. */
int32_t tini_host_constrain(tinhost_session *session);
int32_t tini_host_constrain_by(tinhost_session *session, tini_host_constraint *constraint, const void *data,
                               size_t size);
void tini_host_drop_constraint(tini_host_constraint *constraint);

/* ---- options.c: what tinhost_choose chooses from, as a constraint: a trie of the options' bytes */
int32_t tini_host_options(tinhost_session *session, const char *options);
void tini_host_drop_options(tinhost_session *session);

/* ---- images.c */
void tini_host_drop_images(tini_host_message *message);
int tini_host_copy_images(tini_host_message *to, const tini_host_message *from); /* 0: no memory */
int32_t tini_host_images(const tinhost_session *session);                        /* of all messages */
int tini_host_has_vision(const tin_model *model);

/* How a conversation is written: TIN_CHAT_*, and the template of an adapter or NULL. */
typedef struct tini_manner {
    uint32_t flags;
    const void *turns;
    size_t turns_size;
} tini_manner;

/* Makes session->vision of the messages, as many as session->talks. Returns the number of *tokens, or a status below 0. */
int64_t tini_host_begin_images(tinhost_session *session, const tin_message *messages, tini_manner manner,
                               const int32_t **tokens);
/* Continues session->vision, as tin_vision_step; 0: no bound. */
int32_t tini_host_encode_step(tinhost_session *session, uint64_t budget_ns);

/* ---- answer.c */

/* Characters: text[length] with every byte that is no UTF-8 replaced, as Unicode advises (U+FFFD for each maximal part), to
 * `out` ([3 * length]). Returns how many bytes of text are done: all but the beginning of a character at its end, unless
 * `last`. */
size_t tini_host_characters(const uint8_t *text, size_t length, int last, char *out, size_t *written);

char *tini_host_copied(const char *text);
void tini_host_drop_answer(tinhost_session *session);
int32_t tini_host_room(tinhost_session *session, int32_t messages);

#endif
