/* tin_host.h: tin.h for game engines and other languages. It opens files, and owns memory and conversations. Its
 * interface has only numbers, texts and opaque handles, so any foreign-function interface can call it.
 *
 *   tinhost_open ─▶ tinhost_session_open ─▶ tinhost_ask ─▶ tinhost_step, each frame ─▶ tinhost_piece, tinhost_answer
 *
 * Texts are UTF-8 and end with a NUL. Returned texts belong to the handle, and last until the next call for it.
 * Bytes of an answer that are not UTF-8, and NULs, come as U+FFFD. TIN_FORCE_ISA in the environment names the
 * instruction set to use.
 *
 * Errors: a call that can fail returns a handle or a status. A status is TIN_OK, or a code of tin.h below 0. The
 * handle's `_error` then describes the fault in one line. As in SQLite, opening returns a handle on failure too: read
 * its error, then close it. Only without memory for the handle itself is it NULL. Every function here accepts NULL,
 * as a handle that failed.
 *
 * Threads: one at a time for a session; any number at once for a model. Nothing here waits, except opening, and
 * tinhost_step without a budget. After tinhost_session_open only the texts and images of a conversation allocate,
 * never tinhost_step. */
#ifndef TIN_HOST_H
#define TIN_HOST_H

#include "tin.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Files -------------------------------------------------------------------------------- */

/* An open file. */
typedef struct tinhost_model tinhost_model;

/* Opens a .tin. The file is mapped into memory, not read as a whole.
 *
 * key   NULL or "": the file is checked as any untrusted file. Else minisign's public key ("RW..."): every byte
 *       is checked against the signature in `path`.minisig. A file that the key's owner did not sign is refused
 *
 * Errors (tinhost_model_error): ARGUMENT (it can't be read), FORMAT, VERSION, UNSUPPORTED, MEMORY, SIGNATURE. */
TIN_API tinhost_model *tinhost_open(const char *path, const char *key);

/* Opens a .tin that is in memory already, such as an engine's packed resource.
 *
 * file       [size] bytes, which must stay until the model is closed. They are used in place if they are aligned
 *            to TIN_ALIGNMENT, else copied
 * signature  the text of its .minisig file, or NULL
 * key        as in tinhost_open */
TIN_API tinhost_model *tinhost_open_memory(const void *file, int64_t size, const char *signature,
                                           const char *key);

/* Closes a model. Its memory is released once its last session is closed too: close them in any order. */
TIN_API void tinhost_close(tinhost_model *model);

/* The error of opening; "" for an open model. */
TIN_API const char *tinhost_model_error(const tinhost_model *model);

/* The status of opening: TIN_OK for an open model. */
TIN_API int32_t tinhost_model_status(const tinhost_model *model);

/* The name of the k-th adapter in the file; NULL past the end. */
TIN_API const char *tinhost_adapter_name(tinhost_model *model, int32_t k);

/* The file's text entry `name` ("manifest.json", …); NULL if there is none, or no memory. One thread at a time. */
TIN_API const char *tinhost_entry(tinhost_model *model, const char *name);

/* The instruction set in use. */
TIN_API const char *tinhost_isa(const tinhost_model *model);

/* A fingerprint of the contents: equal for equal files. */
TIN_API int64_t tinhost_fingerprint(const tinhost_model *model);

/* ---- Sessions ----------------------------------------------------------------------------- */

/* A conversation. */
typedef struct tinhost_session tinhost_session;

/* Opens an empty conversation. The file's constraint, if any, applies to it.
 *
 * context     most tokens; 0 for the model's own number. With a vision-language model, the session also has room
 *             for as many rows of images
 * threads     that compute, including the caller's; 0 and 1: the caller's alone
 * adapters    most at once; 0 and 1: one. The session has room for the highest ranks in the file
 * most_bytes  most memory that it may take, at least 0; 0: no bound. The error of a session that needs more
 *             states its need
 *
 * Errors (tinhost_error): ARGUMENT, MEMORY, UNSUPPORTED. */
TIN_API tinhost_session *tinhost_session_open(tinhost_model *model, int32_t context, int32_t threads,
                                              int32_t adapters, int64_t most_bytes);

TIN_API void tinhost_session_close(tinhost_session *session);

/* The error text of the last failed call; "" if none failed. */
TIN_API const char *tinhost_error(const tinhost_session *session);

/* The status of the last failed call; TIN_OK if none failed. */
TIN_API int32_t tinhost_status(const tinhost_session *session);

/* Bytes of memory of the session, now and later, except the conversation's texts. */
TIN_API int64_t tinhost_session_bytes(const tinhost_session *session);

/* ---- Settings of the next answer ------------------------------------------------------------  */

/* Adds an adapter of the file to the active ones, at a scale: 1 as trained, 0 removes it, rounded to float32. NULL
 * or "" removes all. The adapter's chat template and constraint replace the file's; with several adapters, those of
 * the first do.
 *
 * Errors: ARGUMENT (no adapter of that name; no room beside the others; a scale of 65536 or more, or not a number),
 * FORMAT. */
TIN_API int32_t tinhost_adapter(tinhost_session *session, const char *name, double scale);

/* Turns the constraint of the file or the adapter on (1, a session's default) or off (0) for the next answers. */
TIN_API int32_t tinhost_constrained(tinhost_session *session, int32_t on);

/* How tokens are chosen. A session begins with temperature 0: always the likeliest token. Numbers are rounded to
 * float32.
 *
 * repetition  a penalty on tokens that occurred before; 1: none
 *
 * Errors: ARGUMENT (temperature below 0, top_p outside 0 to 1, repetition 0 or less; one that is infinite or not a
 * number). */
TIN_API int32_t tinhost_sampling(tinhost_session *session, double temperature, double top_p, double repetition,
                                 int64_t seed);

/* Most percent of the time, 1 to 100, that the session's threads work; they sleep for the rest. A session begins with
 * 100. Use it when a separate thread calls tinhost_step without a budget: it leaves other threads the cores, and
 * saves battery. Budgets below 40 ms are a duty cycle themselves, and do not change. No bit changes.
 *
 * Errors: ARGUMENT, UNSUPPORTED (below 100, in a build without threads). */
TIN_API int32_t tinhost_duty_cycle(tinhost_session *session, int32_t percent);

/* 0: the template decides whether the model thinks first; 1: it does; 2: it does not. */
TIN_API int32_t tinhost_think(tinhost_session *session, int32_t mode);

/* ---- The conversation ---------------------------------------------------------------------- */

/* Adds a message.
 *
 * role  TIN_ROLE_*: 0 system, the first message only; 1 user; 2 assistant; 3 tool */
TIN_API int32_t tinhost_say(tinhost_session *session, int32_t role, const char *text);

/* Puts an image before the text of the next user's message (tinhost_say, tinhost_ask), behind other waiting images.
 * The call reads its pixels. Before the answer begins, tinhost_step encodes the images that the session lacks.
 *
 * file  [size] bytes of a PNG or JPEG file
 *
 * Errors: UNSUPPORTED (the model has no image input; another kind of file), FORMAT (damaged), MEMORY (it takes more
 * than 256 MiB). */
TIN_API int32_t tinhost_image(tinhost_session *session, const void *file, int64_t size);

/* As tinhost_image, from pixels: a frame buffer's or a camera's.
 *
 * pixels    uint8[height][width][channels], size bytes in all; copied
 * channels  3: red, green, blue; 4: and alpha; transparent pixels lie over white
 *
 * Errors: ARGUMENT, UNSUPPORTED, MEMORY. */
TIN_API int32_t tinhost_pixels(tinhost_session *session, const void *pixels, int64_t size, int32_t width,
                               int32_t height, int32_t channels);

/* Forgets all messages from the k-th on, and waiting images; 0 forgets the conversation. An unfinished answer is
 * dropped. */
TIN_API int32_t tinhost_forget(tinhost_session *session, int32_t k);

/* The number of messages. */
TIN_API int32_t tinhost_messages(const tinhost_session *session);

/* The text of the k-th message, or NULL past the end; its role, or -1 past the end. */
TIN_API const char *tinhost_message(const tinhost_session *session, int32_t k);
TIN_API int32_t tinhost_message_role(const tinhost_session *session, int32_t k);

/* Begins an answer to the messages. Computing waits for tinhost_step. A finished answer becomes a message.
 *
 * most_tokens  of the answer, at least 1
 *
 * Errors: STATE (an answer is unfinished), and those of tin_chat, tin_session_replace and tin_session_generate. */
TIN_API int32_t tinhost_begin(tinhost_session *session, int32_t most_tokens);

/* tinhost_say as the user, then tinhost_begin. On failure no message is added, and waiting images are dropped. */
TIN_API int32_t tinhost_ask(tinhost_session *session, const char *text, int32_t most_tokens);

/* Begins an answer that is one of the given options, whatever the constraint. tinhost_sampling chooses each token
 * among those that lead to an option; by default the likeliest.
 *
 * options  1 to 1024 texts, a line each; none empty, no two the same. A newline may end the last. End a generated
 *          list with one: else an empty last option goes unnoticed */
TIN_API int32_t tinhost_choose(tinhost_session *session, const char *options);

/* Continues a text verbatim, without a chat template. The answer does not become a message. */
TIN_API int32_t tinhost_complete(tinhost_session *session, const char *text, int32_t most_tokens);

/* What tinhost_step returns unless it fails. */
enum {
    TINHOST_PENDING = 0, /* the budget is spent; nothing new */
    TINHOST_PIECE = 1,   /* tinhost_piece has more of the answer; more follows */
    TINHOST_DONE = 2,    /* the answer is complete; tinhost_piece has its end, or "" */
    TINHOST_IDLE = 3     /* no answer is begun */
};

/* Continues the answer. On an error the answer is dropped.
 *
 * budget_us  about how many microseconds it may take. 0: no bound; it returns at the next piece, or at the end. Below
 *            0, such as the rest of a frame that is over: the least step that makes progress. INT64_MAX: as long as
 *            the whole answer takes */
TIN_API int32_t tinhost_step(tinhost_session *session, int64_t budget_us);

/* The text that the last tinhost_step added to the answer, in whole characters; "" for none. */
TIN_API const char *tinhost_piece(const tinhost_session *session);

/* The answer so far. */
TIN_API const char *tinhost_answer(const tinhost_session *session);

/* The chosen option, counted from 0; -1 before the end. */
TIN_API int32_t tinhost_chosen(const tinhost_session *session);

/* Why the answer ended: TIN_FINISH_* of tin.h. Act on a constrained answer only if it is TIN_FINISH_END. Otherwise
 * a limit may have cut or changed the answer. */
TIN_API int32_t tinhost_finish(const tinhost_session *session);

/* Tokens of the answer; passes of the model for it. */
TIN_API int32_t tinhost_tokens(const tinhost_session *session);
TIN_API int32_t tinhost_passes(const tinhost_session *session);

/* FNV-1a (64 bits) over the answer's tokens so far, each an int32 followed by the float32 logit of its choice, little
 * endian. The logit of a forced token is 0. The same on every machine. */
TIN_API int64_t tinhost_digest(const tinhost_session *session);

/* Drops the unfinished answer: its messages stay, without it. */
TIN_API void tinhost_cancel(tinhost_session *session);

/* ---- Save, restore, fork ------------------------------------------------------------------- */

/* Bytes that tinhost_save would write now. */
TIN_API int64_t tinhost_save_size(const tinhost_session *session);

/* Writes messages, adapters and caches, without an unfinished answer.
 *
 * Errors: MEMORY (size is too small), STATE. */
TIN_API int32_t tinhost_save(tinhost_session *session, void *out, int64_t size);

/* Restores the bytes that tinhost_save wrote for a session of the same file, on any machine. On failure the session
 * is unchanged.
 *
 * Errors: FORMAT, VERSION, ARGUMENT (of another file), CONTEXT (it is too small), MEMORY. */
TIN_API int32_t tinhost_restore(tinhost_session *session, const void *data, int64_t size);

/* Makes `to` a copy of `from`, without an unfinished answer: a fork, or a state to return to later. Both must have
 * one model.
 *
 * Errors: ARGUMENT, CONTEXT, MEMORY. */
TIN_API int32_t tinhost_copy(tinhost_session *to, const tinhost_session *from);

#ifdef __cplusplus
}
#endif

#endif
