/* session.h: what session.c, a conversation, and session_class.c, its face to scripts, share. */
#ifndef SESSION_H
#define SESSION_H

#include "glue.h"

typedef struct session {
    void *owner;
    var model; /* as the property has it */
    var holds; /* the model of `it`, which must outlive it */
    tinhost_session *it;
    char *system, *adapter, *error;
    char *applied; /* the adapter that `it` has; NULL where that is not known */
    char *saved;   /* what the next opening begins with; [saved_size] */
    size_t saved_size;
    int64_t context, threads, budget_us, max_tokens, seed, most_bytes, constrained;
    double temperature, top_p, repetition;
    int32_t status;
    uint32_t turn;             /* counts questions and cancels: a signal's receiver may do either */
    int depth, doomed;         /* how many of our functions are under way; destroyed meanwhile */
    int asked, calling, stale; /* an answer is under way; as calls; the next question opens anew */
    char **options;            /* [option_count] of a choice */
    int64_t option_count;
} session;

void *session_create(void *owner);
void session_destroy(void *self);

/* Around everything that may emit a signal, whose receiver may free the node: it lives until the last `session_leave`. */
void session_enter(session *it);
void session_leave(session *it);

/* Each of the next says what failed, by the signal, and gives the status. Of session_failed the text is its own. */
int32_t session_failed(session *it, int32_t status, const char *text);
int32_t session_failed_call(session *it);
/* Opens the session where it is not, with what was saved. */
int32_t session_open(session *it);
int32_t session_ask(session *it, const var *question, int calling);
int32_t session_image(session *it, const var *file);
int32_t session_pixels(session *it, const var *image);
int32_t session_choose(session *it, const var *question, const var *options);

/* The nearest number of 32 bits: scripts have 64, and tin_host refuses what is out of range. */
int32_t int32_of(int64_t number);

/* Steps until the budget is spent; 0: until there is a piece or the end; below 0: the least. TINHOST_*, or a status. */
int32_t session_step(session *it, int64_t budget_us);

#endif
