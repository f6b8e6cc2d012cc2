/* tin.h: run a sealed language model (.tin).
 *
 * The library is C11, needs nothing but memcpy and memset, keeps no global state, and never allocates, prints,
 * exits or starts a thread: memory and files come from the caller.
 *
 *   map the file ─▶ tin_model_size / tin_model_create ─▶ tin_session_size / tin_session_create
 *                                                          tin_session_append ─▶ tin_step ─▶ tokens, logits
 *
 * Threads: a tin_model is read-only once created and may be used by any number of threads at once. A
 * tin_session belongs to one thread at a time. Destroying is releasing the memory that the caller gave.
 *
 * Same bits: the same file and tokens give the same logits, bit for bit, on every instruction set, number of
 * threads and division of the work into steps.
 */
#ifndef TIN_H
#define TIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(TIN_SHARED) && defined(_WIN32)
#ifdef TIN_BUILDING
#define TIN_API __declspec(dllexport)
#else
#define TIN_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define TIN_API __attribute__((visibility("default")))
#else
#define TIN_API
#endif

/* TIN_OK, or one of the negative codes below. */
typedef int32_t tin_status;

/* Every failure: TIN_ERR_<name>, its value (which never changes), its meaning. */
#define TIN_ERRORS(X)                                                           \
    X(ARGUMENT, -1, "an argument is out of range or missing")                   \
    X(FORMAT, -2, "the file is not a tin, or is damaged")                       \
    X(VERSION, -3, "the file needs another version of the runtime")             \
    X(UNSUPPORTED, -4, "this build lacks what the file or the caller asks for") \
    X(MEMORY, -5, "the given memory block is too small or misaligned")          \
    X(CONTEXT, -6, "the session's context is full")                             \
    X(STATE, -7, "the call does not fit the session's state")                   \
    X(TEXT, -8, "the text can't be tokenized")

#define TIN_ERROR_ENUM(name, value, meaning) TIN_ERR_##name = value,
enum { TIN_OK = 0, TIN_ERRORS(TIN_ERROR_ENUM) TIN_ERR_END = 1 };
#undef TIN_ERROR_ENUM

/* The caller's error block. Every function that takes one accepts NULL, and writes to it only on failure. */
typedef struct tin_error {
    tin_status status;
    char text[252]; /* what was wrong, one line, NUL-terminated */
} tin_error;

/* Alignment in bytes of every block of memory, and of every file image, that is handed to the library. */
#define TIN_ALIGNMENT 64

/* The name of a status, such as "TIN_ERR_FORMAT"; "TIN_OK" for 0, "TIN_ERR_UNKNOWN" for any other value. */
TIN_API const char *tin_status_name(tin_status status);

/* The library's version, "major.minor.patch". */
TIN_API const char *tin_version(void);

/* The name of the k-th instruction set that this build has and this processor runs, slowest first; NULL past
 * the end. */
TIN_API const char *tin_isa_name(uint32_t k);

/* Computes a few results that a compiler with unsafe float options would change. TIN_OK when they are right;
 * TIN_ERR_UNSUPPORTED when this build does not keep the bit contract. */
TIN_API tin_status tin_selfcheck(tin_error *error);

/* ---- Model: a checked view of a file image ------------------------------------------------------------- */

typedef struct tin_model tin_model;

/* Bytes of memory that tin_model_create needs for this file; 0 on failure.
 * file: the whole .tin image, aligned to TIN_ALIGNMENT (a mapped file is). size: its bytes. */
TIN_API size_t tin_model_size(const void *file, size_t size, tin_error *error);

/* Checks every offset, size and count of the file and makes a model in `memory`.
 * file      must stay readable and unchanged for the model's life; weights are used in place, never copied
 * isa       name of an instruction set, or NULL for the best one this processor runs
 * memory    memory_size bytes (at least tin_model_size), aligned; stays the caller's
 * Errors: ARGUMENT, FORMAT, VERSION, UNSUPPORTED, MEMORY. */
TIN_API tin_status tin_model_create(const void *file, size_t size, const char *isa, void *memory,
                                    size_t memory_size, tin_model **model, tin_error *error);

typedef struct tin_model_info {
    uint32_t vocab;   /* tokens */
    uint32_t context; /* most positions a session can have */
    uint32_t chunk;   /* most tokens computed at once */
    uint32_t layers;  /* key-value caches */
    uint64_t weight_bytes;
    uint64_t arena_bytes; /* working memory of a session, beside its caches and logits */
    uint64_t kv_bytes;    /* cache bytes per position */
    int32_t bos, eos;     /* token ids, or -1 */
    const char *isa;      /* instruction set in use */
} tin_model_info;

TIN_API void tin_model_describe(const tin_model *model, tin_model_info *info);

/* The bytes of a named entry of the file, in place ("manifest.json", …). TIN_ERR_ARGUMENT when there is none. */
TIN_API tin_status tin_model_entry(const tin_model *model, const char *name, const void **data, size_t *size);

/* ---- Text -------------------------------------------------------------------------------------------- */

enum {
    TIN_TEXT_SPECIAL = 1, /* control tokens such as <|im_end|> written in the text are taken as such */
    TIN_TEXT_BOS = 2      /* begin with the bos token, if the model was trained with one there */
};

/* Bytes of scratch memory that tokenizing `length` bytes of text needs. */
TIN_API size_t tin_tokenize_scratch(const tin_model *model, size_t length);

/* Text to token ids. Returns the number of tokens, also when it is more than `capacity` (only the first
 * `capacity` are written); negative status on failure (ARGUMENT, MEMORY).
 * text: UTF-8; bytes that are not are kept as they are. flags: TIN_TEXT_*. */
TIN_API int64_t tin_tokenize(const tin_model *model, const char *text, size_t length, uint32_t flags,
                             int32_t *tokens, size_t capacity, void *scratch, size_t scratch_size);

/* The bytes of one token, in place, not NUL-terminated; NULL for an id out of range. A token may end in
 * the middle of a UTF-8 character. *control is set to 1 for tokens that are no text. */
TIN_API const char *tin_token_text(const tin_model *model, int32_t token, uint32_t *length, int *control);

/* 1 when the token ends a generation. */
TIN_API int tin_token_is_end(const tin_model *model, int32_t token);

/* ---- Work on several threads --------------------------------------------------------------------------- */

/* How a session spreads its work. `run` calls job(argument, k) once for every k < count, on any threads, in any
 * order, and returns when all have returned. tin_pool makes one; an engine gives its own job system. */
typedef struct tin_executor {
    void *context;
    uint32_t threads; /* how many may work at once, ≥ 1 */
    void (*run)(void *context, uint32_t count, void (*job)(void *argument, uint32_t k), void *argument);
} tin_executor;

/* The optional pool, on POSIX systems and Windows. A build without threads has none (WebAssembly, bare metal), nor
 * one with TIN_NO_POOL. */
#if !defined(TIN_NO_POOL) && \
    (defined(__wasm__) || !(defined(_WIN32) || defined(__unix__) || defined(__APPLE__)))
#define TIN_NO_POOL
#endif
#ifndef TIN_NO_POOL
typedef struct tin_pool tin_pool;

/* Bytes of memory that tin_pool_create needs. threads: 1 .. 64, the caller's own too; 0 bytes for any other number. */
TIN_API size_t tin_pool_size(uint32_t threads);

/* Makes a pool in `memory` (at least tin_pool_size bytes, aligned; stays the caller's) and starts its threads: one
 * fewer than `threads`, and no more than there are processors for, since more would wait for each other. Between
 * jobs they spin for some 100 microseconds, then sleep. Nothing allocates after this.
 * Errors: ARGUMENT, MEMORY, UNSUPPORTED (the system gives no thread). */
TIN_API tin_status tin_pool_create(uint32_t threads, void *memory, size_t memory_size, tin_pool **pool,
                                   tin_error *error);

/* Stops and joins the threads, from any thread while no session runs on the pool. NULL does nothing. */
TIN_API void tin_pool_destroy(tin_pool *pool);

/* The pool's executor, for its life. Its `threads` is how many work. One session at a time may run on it. */
TIN_API const tin_executor *tin_pool_executor(tin_pool *pool);
#endif

/* ---- Session: one conversation -------------------------------------------------------------------------- */

typedef struct tin_session tin_session;

/* How the next token is chosen. Order: repetition penalty, temperature, top_k, top_p, min_p, one draw.
 * The draw is a hash of (seed, position): the same seed and prompt replay the same text. */
typedef struct tin_sampling {
    float temperature;        /* ≥ 0; 0 takes the likeliest token, ties to the lowest id */
    uint32_t top_k;           /* keep the k likeliest; 0 keeps all */
    float top_p;              /* keep the likeliest that sum to p; 1 keeps all */
    float min_p;              /* keep tokens of at least min_p times the best one's probability; 0 keeps all */
    float repetition_penalty; /* > 0; 1 has no effect */
    uint32_t repeat_last;     /* how many of the latest tokens are penalized; 0 for all */
    uint64_t seed;
} tin_sampling;

typedef struct tin_session_options {
    uint32_t context;             /* most positions; 0 for the model's own */
    uint32_t chunk;               /* most tokens computed at once, at most the model's; 0 for the model's own */
    uint32_t logit_rows;          /* most rows of logits at once; 0 or 1, or at least `chunk` */
    const tin_executor *executor; /* NULL runs on the calling thread */
    uint64_t (*clock_ns)(void *); /* for tin_step's budget; NULL when no budget is ever given */
    void *clock_context;
} tin_session_options;

/* Bytes of memory that tin_session_create needs; 0 on failure (ARGUMENT). */
TIN_API size_t tin_session_size(const tin_model *model, const tin_session_options *options, tin_error *error);

/* Makes an empty session in `memory`, which stays the caller's. Errors: ARGUMENT, MEMORY. */
TIN_API tin_status tin_session_create(const tin_model *model, const tin_session_options *options, void *memory,
                                      size_t memory_size, tin_session **session, tin_error *error);

/* Queues tokens behind those already there. Errors: ARGUMENT (an id out of range), CONTEXT. All or nothing. */
TIN_API tin_status tin_session_append(tin_session *session, const int32_t *tokens, uint32_t count,
                                      tin_error *error);

/* Forgets every token from `position` on, computed or queued. Errors: ARGUMENT. */
TIN_API tin_status tin_session_rewind(tin_session *session, uint32_t position, tin_error *error);

/* Asks for the logits of every token from `position` on, beside those of the last queued one, which are always
 * made. Holds until it is called again; a new session asks for none (UINT32_MAX). Errors: STATE (the session was
 * made for one row of logits, or a chunk is under way). */
TIN_API tin_status tin_session_want_logits(tin_session *session, uint32_t position, tin_error *error);

enum {
    TIN_STEP_PENDING = 0, /* the budget is spent; call again */
    TIN_STEP_LOGITS = 1,  /* tin_session_logits has new rows: of the last queued token, or of those wanted */
    TIN_STEP_IDLE = 2     /* nothing is queued */
};

/* Computes queued tokens until logits are ready, the queue is empty or `budget_ns` is spent (0: no bound; it
 * ends at the first boundary of an op past the budget). Returns TIN_STEP_*, or a negative status (STATE: a
 * budget without a clock). */
TIN_API int32_t tin_step(tin_session *session, uint64_t budget_ns);

/* The rows made by the step that returned TIN_STEP_LOGITS: [*rows][vocab] float32, valid until the next
 * append, rewind or step. *first is the position of the first row's token. NULL when there are none. */
TIN_API const float *tin_session_logits(const tin_session *session, uint32_t *rows, uint32_t *first);

/* Chooses a token from the newest row of logits. Returns its id, or a negative status (STATE: no logits;
 * ARGUMENT: options out of range). Does not append it. sampling: NULL for greedy. */
TIN_API int32_t tin_session_sample(tin_session *session, const tin_sampling *sampling);

/* Tokens computed so far, and tokens in all (computed and queued); *tokens, when asked for, are the ids. */
TIN_API uint32_t tin_session_position(const tin_session *session, uint32_t *count, const int32_t **tokens);

#ifdef __cplusplus
}
#endif

#endif
