/* tin_host.h: tin.h for game engines and other languages. It opens files, keeps memory and conversations, and its
 * interface has numbers, texts and opaque handles only, so that any foreign-function interface can call it.
 *
 *   tinhost_open ─▶ tinhost_session_open ─▶ tinhost_ask ─▶ tinhost_step, each frame ─▶ tinhost_piece, tinhost_answer
 *
 * Texts are UTF-8 and end with a NUL. Those that come back are the handle's, and last until the next call for it. Bytes of
 * an answer that are no UTF-8 come as U+FFFD, and so does a NUL. TIN_FORCE_ISA in the environment names the instruction
 * set to use.
 *
 * Errors: a call that can fail returns a handle, or a status, TIN_OK or a code of tin.h (below 0), and the
 * handle's `_error` says in a line what was wrong. As in SQLite, opening returns a handle where it fails too: ask
 * for its error, then close it. Only where there is no memory for the handle itself is it NULL, which every function
 * here takes for a handle that failed.
 *
 * Threads: one at a time for a session; a model may be used by any number at once. Nothing here waits, but for
 * tinhost_step without a budget and for opening. After tinhost_session_open memory is taken only for the texts of a
 * conversation, never by tinhost_step. */
#ifndef TIN_HOST_H
#define TIN_HOST_H

#include "tin.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Files -------------------------------------------------------------------------------- */

/* An open file. */
typedef struct tinhost_model tinhost_model;

/* Opens a .tin, mapped into memory and not read as a whole.
 *
 * key   NULL or "": the file is checked as any untrusted file. Else minisign's public key ("RW..."): every byte is
 *       checked against the signature in `path`.minisig, and a file that its owner did not sign is refused
 *
 * Errors (tinhost_model_error): ARGUMENT (it can't be read), FORMAT, VERSION, UNSUPPORTED, MEMORY, SIGNATURE. */
TIN_API tinhost_model *tinhost_open(const char *path, const char *key);

/* Opens a .tin that is in memory already, as an engine's packed resources are.
 *
 * file       [size] bytes, which must stay until the model is closed. They are used in place where they are
 *            aligned to TIN_ALIGNMENT, and copied else
 * signature  the text of its .minisig file, or NULL
 * key        as in tinhost_open */
TIN_API tinhost_model *tinhost_open_memory(const void *file, int64_t size, const char *signature,
                                           const char *key);

/* Closes a model, once its last session is closed: the two may be closed in any order. */
TIN_API void tinhost_close(tinhost_model *model);

/* Why it could not be opened; "" where it is open. */
TIN_API const char *tinhost_model_error(const tinhost_model *model);

/* TIN_OK where it is open, else why not. */
TIN_API int32_t tinhost_model_status(const tinhost_model *model);

/* The name of the k-th adapter in the file; NULL past the end. */
TIN_API const char *tinhost_adapter_name(tinhost_model *model, int32_t k);

/* The file's text entry `name` ("manifest.json", …); NULL where there is none, or no memory. One thread at a time. */
TIN_API const char *tinhost_entry(tinhost_model *model, const char *name);

/* The instruction set in use. */
TIN_API const char *tinhost_isa(const tinhost_model *model);

/* A number that equal files share. */
TIN_API int64_t tinhost_fingerprint(const tinhost_model *model);

/* ---- Sessions ----------------------------------------------------------------------------- */

/* A conversation. */
typedef struct tinhost_session tinhost_session;

/* An empty conversation, constrained by the file where it has a constraint.
 *
 * context     most tokens, 0 for the model's own number. For a model with image input, room for as many rows of images is
 *             planned
 * threads     that compute, the caller's among them; 0 and 1: the caller's alone
 * adapters    how many at once, 0 or 1: one. Room is planned for the highest ranks in the file
 * most_bytes  of memory that it may take, at least 0; 0: any. A session that needs more is refused with what it needs
 *
 * Errors (tinhost_error): ARGUMENT, MEMORY, UNSUPPORTED. */
TIN_API tinhost_session *tinhost_session_open(tinhost_model *model, int32_t context, int32_t threads,
                                              int32_t adapters, int64_t most_bytes);

TIN_API void tinhost_session_close(tinhost_session *session);

/* What the last call that failed has to say; "" where none did. */
TIN_API const char *tinhost_error(const tinhost_session *session);

/* The status of the last call that failed; TIN_OK where none did. */
TIN_API int32_t tinhost_status(const tinhost_session *session);

/* Bytes of memory of the session: all that it will ever take but for the conversation's texts. */
TIN_API int64_t tinhost_session_bytes(const tinhost_session *session);

/* ---- What the next answer is made by ------------------------------------------------------- */

/* Puts an adapter of the file to work, beside those that are, at a scale, which is rounded to float32 (1 as it was
 * trained; 0 takes it off); NULL or "" takes off all. It brings its chat template and its constraint, in place of the file's; of several, the
 * first does.
 *
 * Errors: ARGUMENT (none of that name; no room beside the others; a scale of 65536 or more, or no number), FORMAT. */
TIN_API int32_t tinhost_adapter(tinhost_session *session, const char *name, double scale);

/* 0: the next answers may be anything; 1, as a session begins: those of the file's or the adapter's constraint. */
TIN_API int32_t tinhost_constrained(tinhost_session *session, int32_t on);

/* How tokens are chosen; a session begins with temperature 0, the likeliest each time. Numbers are rounded to float32.
 *
 * repetition  a penalty on tokens that were there, 1: none
 *
 * Errors: ARGUMENT (temperature below 0, top_p outside 0 to 1, repetition 0 or less; one that is infinite or no number). */
TIN_API int32_t tinhost_sampling(tinhost_session *session, double temperature, double top_p, double repetition,
                                 int64_t seed);

/* Percent of the time, 1 to 100, that the session's threads work at most, asleep for the rest; a session begins with
 * 100. It is for answers that a thread of their own computes, by tinhost_step without a budget: there it leaves others the
 * cores, and a battery its charge. Budgets below 40 ms are a duty cycle themselves, and are not changed. No bit changes.
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

/* Puts an image before the text of the user's message that comes next (tinhost_say, tinhost_ask), behind those that
 * were put there; its pixels are read now. Before the answer begins, tinhost_step encodes the images that the session lacks.
 *
 * file  [size] bytes of a PNG or JPEG file
 *
 * Errors: UNSUPPORTED (the model has no image input; another kind of file), FORMAT (damaged), MEMORY (it takes more
 * than 256 MiB). */
TIN_API int32_t tinhost_image(tinhost_session *session, const void *file, int64_t size);

/* As tinhost_image, of pixels: a frame buffer's, a camera's.
 *
 * pixels    uint8[height][width][channels], size bytes in all; copied
 * channels  3: red, green, blue; 4: and alpha, what is transparent lies over white
 *
 * Errors: ARGUMENT, UNSUPPORTED, MEMORY. */
TIN_API int32_t tinhost_pixels(tinhost_session *session, const void *pixels, int64_t size, int32_t width,
                               int32_t height, int32_t channels);

/* Forgets all messages from the k-th on, and images that wait for one; 0 forgets the conversation. An answer under
 * way is dropped. */
TIN_API int32_t tinhost_forget(tinhost_session *session, int32_t k);

/* How many messages there are. */
TIN_API int32_t tinhost_messages(const tinhost_session *session);

/* The text of the k-th message, and its role; NULL past the end, and -1. */
TIN_API const char *tinhost_message(const tinhost_session *session, int32_t k);
TIN_API int32_t tinhost_message_role(const tinhost_session *session, int32_t k);

/* Begins an answer to the messages: nothing is computed before tinhost_step. The answer becomes a message once it is
 * done.
 *
 * most_tokens  of the answer, at least 1
 *
 * Errors: STATE (one is under way), and those of tin_chat, tin_session_replace and tin_session_generate. */
TIN_API int32_t tinhost_begin(tinhost_session *session, int32_t most_tokens);

/* tinhost_say as the user, and tinhost_begin. Where it fails, there is no message more, and images that
 * waited for it are gone. */
TIN_API int32_t tinhost_ask(tinhost_session *session, const char *text, int32_t most_tokens);

/* Begins an answer that is one of some options, whatever the constraint: at each token one of those that lead to
 * one of them, as tinhost_sampling says (the likeliest, unless it was called).
 *
 * options  1 to 1024 texts, a line each; none empty, no two the same. A newline may end the last: give it where options come
 *          from a list, or a last one that is empty goes unseen */
TIN_API int32_t tinhost_choose(tinhost_session *session, const char *options);

/* Goes on from a text as it is, without a chat template. The answer becomes no message. */
TIN_API int32_t tinhost_complete(tinhost_session *session, const char *text, int32_t most_tokens);

/* What tinhost_step returns when it does not fail. */
enum {
    TINHOST_PENDING = 0, /* the budget is spent without anything new */
    TINHOST_PIECE = 1,   /* tinhost_piece has more of the answer; there is more to come */
    TINHOST_DONE = 2,    /* the answer is complete; tinhost_piece has its end, if anything */
    TINHOST_IDLE = 3     /* no answer is under way */
};

/* Goes on with the answer. A status below 0 drops the answer.
 *
 * budget_us  about how many microseconds it may take. 0: no bound; it returns once there is a piece, or the end. Below 0,
 *            as "what is left of the frame" is when the frame is over: the least step that makes progress. INT64_MAX: as
 *            long as the whole answer takes */
TIN_API int32_t tinhost_step(tinhost_session *session, int64_t budget_us);

/* What the last tinhost_step added to the answer, in whole characters; "" for nothing. */
TIN_API const char *tinhost_piece(const tinhost_session *session);

/* The answer so far. */
TIN_API const char *tinhost_answer(const tinhost_session *session);

/* The option that was chosen, counted from 0; -1 before. */
TIN_API int32_t tinhost_chosen(const tinhost_session *session);

/* Why the answer ended: TIN_FINISH_* of tin.h. Act on a constrained answer only where it is TIN_FINISH_END: a limit may
 * have cut any other one, or made it another answer. */
TIN_API int32_t tinhost_finish(const tinhost_session *session);

/* Tokens of the answer, and how often the model was evaluated for it. */
TIN_API int32_t tinhost_tokens(const tinhost_session *session);
TIN_API int32_t tinhost_passes(const tinhost_session *session);

/* FNV-1a (64 bits) over the answer's tokens so far, each with the logit it was chosen by (int32 and float32, little
 * endian; 0 where the token had to come): the same on every machine. */
TIN_API int64_t tinhost_digest(const tinhost_session *session);

/* Drops the answer under way: its messages stay, without it. */
TIN_API void tinhost_cancel(tinhost_session *session);

/* ---- Save, restore, fork ------------------------------------------------------------------- */

/* Bytes that tinhost_save would write now. */
TIN_API int64_t tinhost_save_size(const tinhost_session *session);

/* Writes messages, adapters and caches. An answer under way is not part of it.
 *
 * Errors: MEMORY (size is too small), STATE. */
TIN_API int32_t tinhost_save(tinhost_session *session, void *out, int64_t size);

/* Reads what tinhost_save wrote for a session of the same file, on any machine. On failure the session is as it was.
 *
 * Errors: FORMAT, VERSION, ARGUMENT (of another file), CONTEXT (it is too small), MEMORY. */
TIN_API int32_t tinhost_restore(tinhost_session *session, const void *data, int64_t size);

/* Makes `to` what `from` is, an answer under way left out: a fork, or a state to roll back to. Both are of one model.
 *
 * Errors: ARGUMENT, CONTEXT, MEMORY. */
TIN_API int32_t tinhost_copy(tinhost_session *to, const tinhost_session *from);

#ifdef __cplusplus
}
#endif

#endif
