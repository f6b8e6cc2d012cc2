/* tin.h: run a sealed language model (.tin).
 *
 * The library is C11 and needs nothing but memcpy and memset. It keeps no global state and never
 * allocates, prints, exits or starts a thread: the caller provides memory and files. (Only the
 * optional pool, tin_pool, starts threads.)
 *
 *   map the file ─▶ tin_model_size   / tin_model_create
 *                ─▶ tin_session_size / tin_session_create
 *                ─▶ tin_session_append ─▶ tin_step ─▶ tokens, logits
 *
 * Threads: a tin_model is read-only once created; any number of threads may use it at once. A
 * tin_session belongs to one thread at a time. To destroy an object, release the memory that you
 * gave for it.
 *
 * Memory: give sessions and batches blocks of zeros (from calloc, or new pages of the system). The
 * library does not clear them. A block's old contents may be another model's conversation, and the
 * program in a hostile file could turn them into logits.
 *
 * Same bits: the same file and tokens give bit-identical logits on every instruction set, with any
 * number of threads and any division into steps. */
#ifndef TIN_H
#define TIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Version and errors -------------------------------------------------------------------- */

/* The version of this header, stated only here: build files read it from this line. Before 1.0 a new
 * minor version may change any interface. */
#define TIN_VERSION "0.1.0"

/* TIN_SHARED: libtin is a shared library, or is being built as one (with TIN_BUILDING). Without it
 * nothing is exported: a library of yours that links tin keeps its symbols internal. */
#if defined(TIN_SHARED) && defined(_WIN32) && defined(TIN_BUILDING)
#define TIN_API __declspec(dllexport)
#elif defined(TIN_SHARED) && defined(_WIN32)
#define TIN_API __declspec(dllimport)
#elif defined(TIN_SHARED) && defined(__GNUC__)
#define TIN_API __attribute__((visibility("default")))
#else
#define TIN_API
#endif

/* TIN_OK, or one of the negative codes below. */
typedef int32_t tin_status;

/* Every failure: TIN_ERR_<name>, its value (which never changes) and its meaning. */
#define TIN_ERRORS(X)                                                           \
    X(ARGUMENT, -1, "an argument is out of range or missing")                   \
    X(FORMAT, -2, "the file is not a tin, or is damaged")                       \
    X(VERSION, -3, "the file needs another version of the runtime")             \
    X(UNSUPPORTED, -4, "this build lacks what the file or the caller asks for") \
    X(MEMORY, -5, "the given memory block is too small or misaligned")          \
    X(CONTEXT, -6, "the session's context is full")                             \
    X(STATE, -7, "the call does not fit the session's state")                   \
    X(TEXT, -8, "the text can't be tokenized")                                  \
    X(SIGNATURE, -9, "the file is not what the owner of the key signed")

#define TIN_ERROR_ENUM(name, value, meaning) TIN_ERR_##name = value,
enum { TIN_OK = 0, TIN_ERRORS(TIN_ERROR_ENUM) TIN_ERR_END = 1 };
#undef TIN_ERROR_ENUM

/* The caller's error block. Every function that takes one accepts NULL, and writes to it only on
 * failure. Below, "Errors: ARGUMENT" stands for TIN_ERR_ARGUMENT, and so on. */
typedef struct tin_error {
    tin_status status;
    char text[252]; /* the fault, one line, NUL-terminated */
} tin_error;

/* Alignment in bytes of every memory block and file image given to the library. */
#define TIN_ALIGNMENT 64

/* The name of a status, such as "TIN_ERR_FORMAT"; "TIN_OK" for 0, "TIN_ERR_UNKNOWN" for any other
 * value. */
TIN_API const char *tin_status_name(tin_status status);

/* The library's version, "major.minor.patch": TIN_VERSION of the header it was built with. */
TIN_API const char *tin_version(void);

/* The name of the k-th instruction set that this build contains and this processor supports, slowest
 * first; NULL past the end. */
TIN_API const char *tin_isa_name(uint32_t k);

/* Computes a few results that unsafe float options of a compiler would change. TIN_OK when they are
 * right; TIN_ERR_UNSUPPORTED when this build breaks the bit contract. */
TIN_API tin_status tin_selfcheck(tin_error *error);

/* ---- Sealing: is the file the one that was sealed? ----------------------------------------- */

/* Checks every byte of a file against its manifest, and the manifest against a signature. TIN_OK
 * only for the exact file that the key's owner signed. Call it before tin_model_create, and let
 * nobody write to the memory in between. It proves who made the file and that nothing changed since.
 * It does not check the contents: tin_model_create does so for every file, verified or not. Any
 * thread may call. It takes some 8 KB of stack.
 *
 * file            the whole .tin image
 * size            its bytes; each is read once (SHA-256)
 * signature       the text of the .minisig file that `tinsmith sign` or `minisign` wrote. NULL: none,
 *                 which is an error if there is a key
 * signature_size  its bytes
 * key             the public key, NUL-terminated: minisign's line "RW...", or the text of a .pub
 *                 file. NULL requires no signature: damage is still found, but not an attack, since
 *                 anyone can write a matching manifest
 *
 * Errors: ARGUMENT (no file, or not a public key), FORMAT (a byte contradicts the manifest),
 * SIGNATURE. */
TIN_API tin_status tin_file_verify(const void *file, size_t size, const char *signature, size_t signature_size,
                                   const char *key, tin_error *error);

/* Further requirements on a signature. Its trusted comment states the values, as in
 * "tinsmith version=7 not-after=2027-01-31", which
 * `tinsmith sign --version 7 --not-after 2027-01-31` writes. The library has no clock and remembers
 * nothing: the host gives the time and the lowest version to accept, such as that of the last file
 * that it ran. */
typedef struct tin_freshness {
    uint32_t min_version; /* of the signature, which must then state one; 0: no requirement */
    int64_t now;          /* seconds since 1970 (UTC): past its not-after it is refused; 0: no requirement */
} tin_freshness;

/* As tin_file_verify; the signature must also state what `asked` requires. If anything is required, a
 * comment that states it in another form, or twice, is refused.
 *
 * key     must be given if anything is required; else NULL requires no signature, as in tin_file_verify
 * asked   NULL, or all 0: no requirements
 *
 * Errors: as tin_file_verify; ARGUMENT (requirements without a key, or a time before 1970), SIGNATURE
 * (an older version, or a time past not-after). */
TIN_API tin_status tin_file_verify_fresh(const void *file, size_t size, const char *signature,
                                         size_t signature_size, const char *key, const tin_freshness *asked,
                                         tin_error *error);

/* ---- Model: a checked view of a file image ------------------------------------------------- */

/* A model: the checked contents of a file. */
typedef struct tin_model tin_model;

/* Bytes of memory that tin_model_create needs for this file, the same on every machine; 0 on failure.
 *
 * file   the whole .tin image, aligned to TIN_ALIGNMENT (a mapped file is)
 * size   its bytes */
TIN_API size_t tin_model_size(const void *file, size_t size, tin_error *error);

/* Checks every offset, size and count of the file, and that its entries agree (one vocabulary, one
 * context, tokens that exist). Makes a model in `memory`. An untrusted file gives an error, or works
 * within the memory given. Only a signature vouches for good or timely answers (tin_file_verify).
 *
 * file         must stay readable and unchanged for the model's life; weights are used in place,
 *              never copied
 * isa          the name of an instruction set; NULL: the best one that this processor supports
 * memory       aligned; stays the caller's
 * memory_size  bytes, at least tin_model_size
 *
 * Errors: ARGUMENT, FORMAT, VERSION, UNSUPPORTED, MEMORY. */
TIN_API tin_status tin_model_create(const void *file, size_t size, const char *isa, void *memory,
                                    size_t memory_size, tin_model **model, tin_error *error);

/* A model's properties, and the sizes that its sessions need. */
typedef struct tin_model_info {
    uint32_t vocab;   /* tokens */
    uint32_t context; /* most positions that a session can have */
    uint32_t chunk;   /* tokens computed at once, unless a session sets its own number */
    uint32_t layers;  /* key-value caches */
    uint64_t weight_bytes;
    uint64_t arena_bytes; /* working memory for `chunk` tokens, beside caches and logits */
    uint64_t kv_bytes;    /* float16 cache bytes per position, without windows */
    uint64_t state_bytes; /* of recurrent states, independent of positions; 0: the model has none */
    int32_t bos, eos;     /* token ids, or -1 */
    uint64_t fingerprint; /* of the whole file's contents: equal for equal files */
    const char *isa;      /* instruction set in use */
    uint32_t dim;         /* floats of a row that may replace a token's embedding; 0: none may */
} tin_model_info;

/* Fills in *info. It cannot fail. */
TIN_API void tin_model_describe(const tin_model *model, tin_model_info *info);

/* The bytes of a named entry of the file, in place ("manifest.json", …). TIN_ERR_ARGUMENT if there is
 * none. */
TIN_API tin_status tin_model_entry(const tin_model *model, const char *name, const void **data, size_t *size);

/* ---- Text ---------------------------------------------------------------------------------- */

/* Flags of tin_tokenize. */
enum {
    TIN_TEXT_SPECIAL = 1, /* recognize control tokens, such as <|im_end|>, written in the text */
    TIN_TEXT_BOS = 2      /* begin with the bos token, if the model was trained with one there */
};

/* Bytes of scratch memory that tokenizing `length` bytes of text needs. tin_tokenize refuses texts
 * over 64 MiB: for such a length, the bytes for 64 MiB. 0 if they exceed this machine's address
 * space: with some tokenizers, 53 MiB of text on a machine of 32 bits. */
TIN_API size_t tin_tokenize_scratch(const tin_model *model, size_t length);

/* Text to token ids. Returns the number of tokens, at most 3 * length + 2, even if it exceeds
 * `capacity` (only the first `capacity` are written). A negative status on failure (ARGUMENT,
 * MEMORY).
 *
 * text   UTF-8; bytes that are not UTF-8 are kept unchanged
 * flags  TIN_TEXT_* */
TIN_API int64_t tin_tokenize(const tin_model *model, const char *text, size_t length, uint32_t flags,
                             int32_t *tokens, size_t capacity, void *scratch, size_t scratch_size);

/* The bytes of one token, in place, not NUL-terminated; NULL for an id out of range. A token may
 * end in the middle of a UTF-8 character.
 *
 * control  set to 1 for a token that is not text, else to 0 */
TIN_API const char *tin_token_text(const tin_model *model, int32_t token, uint32_t *length, int *control);

/* 1 when the token ends a generation. */
TIN_API int tin_token_is_end(const tin_model *model, int32_t token);

/* ---- Conversations ------------------------------------------------------------------------- */

/* Who a message is from. */
enum {
    TIN_ROLE_SYSTEM = 0,
    TIN_ROLE_USER = 1,
    TIN_ROLE_ASSISTANT = 2,
    TIN_ROLE_TOOL = 3 /* the result of a call */
};

/* One message of a conversation. */
typedef struct tin_message {
    /* TIN_ROLE_*. Only the first message may be a system message; a tool's message follows the
     * assistant's that called the tool. */
    uint32_t role;
    const char *content; /* UTF-8, not NUL-terminated; may be NULL when length is 0 */
    size_t length;       /* bytes */
} tin_message;

/* Flags of tin_chat. With neither TIN_CHAT_THINK nor TIN_CHAT_DIRECT, the template decides whether
 * the model thinks first. */
enum {
    TIN_CHAT_ANSWER = 1, /* end with the opening of the assistant's answer */
    TIN_CHAT_THINK = 2,  /* turn on the template's switch for thinking */
    TIN_CHAT_DIRECT = 4  /* turn it off */
};

/* Bytes of scratch memory that tin_chat needs for these messages, with any flags; 0 on failure (the
 * same errors as tin_chat). */
TIN_API size_t tin_chat_scratch(const tin_model *model, const tin_message *messages, uint32_t count,
                                tin_error *error);

/* A conversation to token ids, in the form of the model's training: it applies the file's chat
 * template. The contents of messages stay text: nothing in them becomes a control token. Returns the
 * number of tokens, even if it exceeds `capacity` (only the first `capacity` are written). A negative
 * status on failure. Any thread may call.
 *
 * An assistant's content may begin with thoughts, "<think>…</think>"; the template keeps or drops
 * them.
 *
 * For the next turn, call it again with the longer conversation, and give the tokens to
 * tin_session_replace.
 *
 * flags    TIN_CHAT_*
 * scratch  aligned to 4 bytes
 *
 * Errors: ARGUMENT (no message, a misplaced role, over 64 MiB of text), MEMORY (scratch), UNSUPPORTED
 * (the file has no template, or its template lacks the switch for thinking or this kind of message). */
TIN_API int64_t tin_chat(const tin_model *model, const tin_message *messages, uint32_t count, uint32_t flags,
                         int32_t *tokens, size_t capacity, void *scratch, size_t scratch_size,
                         tin_error *error);

/* As tin_chat_scratch, with another chat template than the file's (tin_template_chat). */
TIN_API size_t tin_template_scratch(const tin_model *model, const void *turns, size_t size,
                                    const tin_message *messages, uint32_t count, tin_error *error);

/* As tin_chat, with another chat template than the file's: the one of an adapter's training.
 *
 * turns  adapter/<name>/turns.bin of a file, aligned to 4 bytes, checked by every call; NULL: the file's
 *        own template
 * size   its bytes
 *
 * Errors: as tin_chat; FORMAT, VERSION (not a template of this model's tokens). */
TIN_API int64_t tin_template_chat(const tin_model *model, const void *turns, size_t size,
                                  const tin_message *messages, uint32_t count, uint32_t flags, int32_t *tokens,
                                  size_t capacity, void *scratch, size_t scratch_size, tin_error *error);

/* ---- Work on several threads --------------------------------------------------------------- */

/* How a session spreads its work over threads. tin_pool makes one; an engine wraps its own job system
 * in one. */
typedef struct tin_executor {
    void *context;    /* passed to run */
    uint32_t threads; /* most that work at once, ≥ 1 */
    /* Calls job(argument, k) once for every k < count, on any threads, in any order, and returns
     * when all of them have returned. */
    void (*run)(void *context, uint32_t count, void (*job)(void *argument, uint32_t k), void *argument);
    /* The same within a budget of less than 40 ms, where a thread that may be late should not begin.
     * NULL: `run` does both. */
    void (*run_in_time)(void *context, uint32_t count, void (*job)(void *argument, uint32_t k), void *argument);
} tin_executor;

/* The pool is optional, for POSIX systems and Windows. Builds without threads (WebAssembly, bare
 * metal) and builds with TIN_NO_POOL have none. */
#if !defined(TIN_NO_POOL) && \
    (defined(__wasm__) || !(defined(_WIN32) || defined(__unix__) || defined(__APPLE__)))
#define TIN_NO_POOL
#endif
#ifndef TIN_NO_POOL
/* A pool of threads. A build without a pool (TIN_NO_POOL) lacks it. */
typedef struct tin_pool tin_pool;

/* Bytes of memory that tin_pool_create needs.
 *
 * threads  1 to 64, including the caller's; 0 is returned for any other number */
TIN_API size_t tin_pool_size(uint32_t threads);

/* Makes a pool in `memory` and starts its threads: `threads` minus one, and at most one for each
 * processor, since more would only wait for each other. Between jobs they spin for some 100
 * microseconds, then sleep. Nothing allocates after this.
 *
 * A thread that the system preempts in the middle of its work delays the others. Within a budget of
 * less than 40 ms, such a thread rests for 0.2 to 25 s. It works again once it has run for 25 ms by
 * itself without preemption.
 *
 * The child of a fork has none of the threads. There the pool still works, on the calling thread
 * alone and with the same bits, and may be destroyed. A session that another thread was stepping at
 * the fork is lost to the child.
 *
 * memory       aligned; stays the caller's
 * memory_size  bytes, at least tin_pool_size
 *
 * Errors: ARGUMENT, MEMORY, UNSUPPORTED (the system refuses to start a thread). */
TIN_API tin_status tin_pool_create(uint32_t threads, void *memory, size_t memory_size, tin_pool **pool,
                                   tin_error *error);

/* Stops and joins the threads. Any thread may call, while no session runs on the pool. NULL does
 * nothing. */
TIN_API void tin_pool_destroy(tin_pool *pool);

/* Bounds the share of time that the pool's threads work, including the caller's. It applies to steps
 * with no budget, or one of 40 ms or more. They work for a while, then all sleep in proportion, some
 * milliseconds at a time. It leaves other threads the processor, and keeps a battery or a small case
 * cool. No bit changes. Within a shorter budget nothing sleeps: there the host's budget is the duty
 * cycle.
 *
 * percent  1 to 100; a pool begins with 100. Out of range: the nearer end. Takes effect at the next
 *          step; do not call it while a session runs on the pool */
TIN_API void tin_pool_duty_cycle(tin_pool *pool, uint32_t percent);

/* The pool's executor, valid as long as the pool. Its `threads` counts the threads that really work.
 * One session at a time may run on it. */
TIN_API const tin_executor *tin_pool_executor(tin_pool *pool);
#endif

/* ---- Adapters: other skills of the same model ---------------------------------------------- */

/* An adapter gives one model in memory another skill. Either it has low-rank factors (LoRA), which
 * a session adds to the model's matrices while it computes. Or it is a prefix (prefix tuning): trained
 * keys, values and recurrent states that precede the session's first token. Read-only once open; any number of
 * sessions and threads may use it at once. */
typedef struct tin_adapter tin_adapter;

/* Bytes of memory that tin_adapter_open needs; 0 on failure (the same errors, except MEMORY). */
TIN_API size_t tin_adapter_size(const tin_model *model, const void *data, size_t size, tin_error *error);

/* Checks every byte of a compiled adapter (adapter/<name>.bin of a file) against the model, and makes
 * an adapter in `memory`. Its factors are used in place, never copied.
 *
 * data         aligned; must stay readable and unchanged for the adapter's life
 * size         its bytes
 * memory       aligned; stays the caller's
 * memory_size  bytes, at least tin_adapter_size
 *
 * Errors: ARGUMENT (it belongs to another model; the text names the mismatch), FORMAT (damaged, or a
 * number is not finite), VERSION, MEMORY. */
TIN_API tin_status tin_adapter_open(const tin_model *model, const void *data, size_t size, void *memory,
                                    size_t memory_size, tin_adapter **adapter, tin_error *error);

/* An adapter's properties. */
typedef struct tin_adapter_info {
    uint32_t matrices;     /* of the model, to which it adds; 0 for a prefix */
    uint32_t rank;         /* the highest: its share of a session's adapter_rank */
    uint64_t factor_bytes; /* of all its factors, or of a prefix's numbers */
    uint64_t fingerprint;  /* of its contents: equal for equal adapters */
    uint32_t prefix;       /* positions of a session's context that a prefix takes; or 0 */
    uint32_t reserved;
} tin_adapter_info;

/* Fills in *info. It cannot fail. */
TIN_API void tin_adapter_describe(const tin_adapter *adapter, tin_adapter_info *info);

/* ---- Session: one conversation ------------------------------------------------------------- */

/* A conversation: its tokens, caches and working memory. */
typedef struct tin_session tin_session;

/* An addition to the logit of a token. */
typedef struct tin_bias {
    int32_t token;
    float value; /* finite, or -infinity: the token is chosen only if there is no other */
} tin_bias;

/* How the next token is chosen. The steps, in order: biases, repetition penalty, frequency and
 * presence penalty, temperature, top_k, top_p, min_p, one draw. The draw is a hash of (seed,
 * position): the same seed and prompt reproduce the text. */
typedef struct tin_sampling {
    float temperature;        /* ≥ 0; 0 takes the likeliest token; ties go to the lowest id */
    uint32_t top_k;           /* keep the k likeliest; 0 keeps all */
    float top_p;              /* keep the likeliest that sum to p; 1 keeps all */
    float min_p;              /* keep tokens at least min_p times as likely as the best; 0 keeps all */
    float repetition_penalty; /* > 0; 1 has no effect */
    uint32_t repeat_last;     /* how many of the latest tokens it penalizes; 0 for all */
    uint64_t seed;
    uint32_t measure; /* 1: sum the log probabilities of choices (tin_session_log_probability) */
    /* For a token that the answer already contains `count` times,
     * logit - count * frequency_penalty - presence_penalty replaces the logit. Zeros have no effect. */
    float presence_penalty;
    float frequency_penalty;
    /* How many of the session's latest tokens belong to the answer, for these two penalties; a
     * generation adds its own tokens to them. */
    uint32_t answered;
    uint32_t bias_count;
    const tin_bias *biases; /* [bias_count], readable for the whole generation; or NULL */
} tin_sampling;

/* The type of cached keys and values. The two types give different logits; each keeps the bit
 * contract. */
enum {
    TIN_KV_F16 = 0, /* float16 */
    /* int8 with one float16 scale for 32 numbers: about half the bytes. The size of a head must be a
     * multiple of 32. */
    TIN_KV_Q8 = 1
};

/* Sizes and features of a session. Zeros are good defaults. */
typedef struct tin_session_options {
    uint32_t context;             /* most positions; 0 for the model's own */
    uint32_t chunk;               /* most tokens computed at once, up to 4096; 0 for the model's own number */
    uint32_t logit_rows;          /* most rows of logits at once, at most `chunk`; 0 for 1 */
    uint32_t kv_type;             /* TIN_KV_* */
    uint32_t batched;             /* 1: only a tin_batch steps it, so it gets no working memory */
    const tin_executor *executor; /* NULL runs on the calling thread */
    uint64_t (*clock_ns)(void *); /* for tin_step's budget; NULL if no budget is ever given */
    void *clock_context;          /* passed to clock_ns */
    /* Only for a model with recurrent states (state_bytes of tin_model_info): how many earlier
     * states to keep, up to 62, each of state_bytes. The states before and after the last token
     * are always kept as well.
     *
     * A recurrent state cannot be cut back to fewer tokens. When tokens are forgotten, or a copy
     * takes fewer tokens, computing restarts from the newest usable state, or from the first token
     * if there is none. The results are the same, but take longer.
     *
     * States at the ends of prompts, and where tokens were forgotten, have priority; the others are
     * spread over the session. */
    uint32_t checkpoints;
    uint32_t adapter_rank; /* room for adapters: the largest sum of their ranks; 0: no adapters */
    /* Room for rows that replace tokens' embeddings (tin_embedded); the session copies them, so the
     * caller's may go. Most tiles of images at once, and most rows of all, each of dim (tin_model_info)
     * floats; 0: it takes none. */
    uint32_t tiles;
    uint32_t image_rows;
    uint32_t searches; /* 1: room for best-first search, even if no constraint of the file has it */
} tin_session_options;

/* Bytes of memory that tin_session_create needs, the same on every machine; 0 on failure (ARGUMENT,
 * UNSUPPORTED). */
TIN_API size_t tin_session_size(const tin_model *model, const tin_session_options *options, tin_error *error);

/* Makes an empty session in `memory`, which stays the caller's. No later call allocates.
 *
 * Errors: ARGUMENT, MEMORY, UNSUPPORTED (a kv_type that the model's heads do not fit). */
TIN_API tin_status tin_session_create(const tin_model *model, const tin_session_options *options, void *memory,
                                      size_t memory_size, tin_session **session, tin_error *error);

/* Flags of tin_session_adapter. */
enum {
    /* Keeps the computed caches and states of the previous adapters, and continues from them. The
     * session's logits then belong to no single adapter. */
    TIN_ADAPTER_KEEP = 1
};

/* Sets an adapter's scale in a session, and ends a generation. The session's tokens stay. Unless
 * TIN_ADAPTER_KEEP is given, computed tokens are computed again under the new adapters. That is the
 * cost of a change in mid-conversation; with no tokens yet it is free. A call that changes nothing
 * does nothing.
 *
 * A session may have 8 adapters at once, and adds them in the order in which they were set. One may
 * be a prefix: the others then apply to the tokens behind it. A prefix takes positions of the
 * session's context and needs no adapter_rank. TIN_ADAPTER_KEEP can't keep results computed behind
 * another prefix.
 *
 * adapter  of the session's model; it must stay open while the session has it. NULL removes all
 * scale    a factor of its update: 1 as trained, 0 removes it. A prefix has no other scales
 * flags    TIN_ADAPTER_*
 *
 * On an error nothing changes. Errors: ARGUMENT (of another model; no room for its rank; a scale that
 * is not finite, or not 0 or 1 for a prefix; a second prefix; a prefix with TIN_ADAPTER_KEEP), CONTEXT
 * (no room for a prefix), STATE (a batch is computing the session's tokens). */
TIN_API tin_status tin_session_adapter(tin_session *session, const tin_adapter *adapter, float scale,
                                       uint32_t flags, tin_error *error);

/* The id that stands where rows are given. It is no token: without a tin_embedded for its position it
 * is an id out of range. */
#define TIN_EMBEDDED (-1)

/* Rows that replace tokens' embeddings: those of an image, or of one tile of it. They enter the model
 * unchanged, after its operations on a token's own embedding (some models scale it).
 *
 * An image is complete or absent: rewinding to a position inside it rewinds to its first. In some
 * models the rows of one image attend to each other. There one pass computes the image, and only the
 * last logit_rows of its rows may have logits. */
typedef struct tin_embedded {
    uint32_t at;      /* index of its first row among the tokens of the call */
    uint32_t count;   /* of rows, and of TIN_EMBEDDED from `at` on */
    uint32_t columns; /* of the image's grid of rows, in reading order; it divides count */
    /* [count][dim] float32, copied by the call. NULL: the session's own rows at this place with this
     * digest (tin_session_replace_embedded). */
    const float *rows;
    /* Identifies the rows: two images with one digest are the same to a session, its copies and its
     * saved bytes. A SHA-256 of the rows' source. */
    uint8_t digest[32];
} tin_embedded;

/* Queues tokens behind the session's own, and ends a generation. All or nothing: like every call here,
 * on failure it leaves the session unchanged, including a generation.
 *
 * Errors: ARGUMENT (an id out of range), CONTEXT, STATE (a batch is computing its drafts). */
TIN_API tin_status tin_session_append(tin_session *session, const int32_t *tokens, uint32_t count,
                                      tin_error *error);

/* As tin_session_append, with rows that replace the tokens TIN_EMBEDDED.
 *
 * embedded  [embedded_count], ordered by `at`, without overlaps; NULL for none
 *
 * Errors: also ARGUMENT (embedded and TIN_EMBEDDED do not match; no rows; an image whose rows attend
 * to each other exceeds the session's chunk), MEMORY (no room for so many images or rows). */
TIN_API tin_status tin_session_append_embedded(tin_session *session, const int32_t *tokens, uint32_t count,
                                               const tin_embedded *embedded, uint32_t embedded_count,
                                               tin_error *error);

/* Fills in *embedded: the k-th image among the session's tokens. Its rows are the session's, valid until
 * the session changes. Returns 1, or 0 past the last. */
TIN_API int tin_session_embedded(const tin_session *session, uint32_t k, tin_embedded *embedded);

/* Forgets every token from `position` on, computed or queued. Ends a generation and drops unfinished
 * work. To cancel, rewind to tin_session_position.
 *
 * Errors: ARGUMENT, STATE (a batch is computing its tokens; or attention has a window, and the cache has
 * lost a position within the window of `position`: rewind to 0). */
TIN_API tin_status tin_session_rewind(tin_session *session, uint32_t position, tin_error *error);

/* Makes room in a full context: forgets `drop` tokens from position `keep` on, and queues the tokens
 * behind them again. The result equals a session that never had the dropped tokens.
 *
 * Errors: as tin_session_rewind; ARGUMENT (it would keep a part of an image). */
TIN_API tin_status tin_session_shift(tin_session *session, uint32_t keep, uint32_t drop, tin_error *error);

/* Makes `tokens` the session's tokens. The prefix shared with the present tokens is not computed again.
 * If nothing follows that prefix, its last token is, so that the next step gives logits.
 *
 * Errors: ARGUMENT (an id out of range), CONTEXT, STATE (a batch is computing its tokens). On an error
 * nothing changes. */
TIN_API tin_status tin_session_replace(tin_session *session, const int32_t *tokens, uint32_t count,
                                       tin_error *error);

/* As tin_session_replace, with rows that replace the tokens TIN_EMBEDDED. An image needs no rows, and is
 * not computed again, if the session has one with its digest at the same place behind the same prefix.
 *
 * Errors: also as tin_session_append_embedded. */
TIN_API tin_status tin_session_replace_embedded(tin_session *session, const int32_t *tokens, uint32_t count,
                                                const tin_embedded *embedded, uint32_t embedded_count,
                                                tin_error *error);

/* How many of these tokens, from the first on, the session has: tin_session_replace_embedded needs no
 * rows for those. */
TIN_API uint32_t tin_session_shared(const tin_session *session, const int32_t *tokens, uint32_t count,
                                    const tin_embedded *embedded, uint32_t embedded_count);

/* Requests the logits of every token from `position` on. The last queued token always has logits. Holds
 * until the next call; a new session requests none (UINT32_MAX).
 *
 * Errors: STATE (a pass is unfinished). */
TIN_API tin_status tin_session_want_logits(tin_session *session, uint32_t position, tin_error *error);

/* Sets the session's draft table, which predicts tokens of a generation from a task's answers in
 * training, and ends a generation. It changes no token. A new session has its file's own,
 * drafts/answer.bin.
 *
 * data  of drafts/answer.bin or of an adapter's (tin_model_entry), aligned to 4 bytes; it must stay readable
 *       while the session has it. NULL: none
 * size  its bytes
 *
 * On an error the previous table stays. Errors: ARGUMENT, FORMAT, VERSION, STATE (a batch is computing
 * its tokens). */
TIN_API tin_status tin_session_draft(tin_session *session, const void *data, size_t size, tin_error *error);

/* Lets tin_step choose up to max_tokens tokens, to follow the queued ones or the current logits.
 *
 * sampling  NULL for greedy; copied
 * lookup    most tokens to draft at once; 0 for no drafts at all. Drafts come from the session's draft
 *           table, else from the continuation of the same words earlier in the session (prompt lookup:
 *           Saxena 2023). A model's multi-token-prediction layer (mtp/program.bin) drafts one token; a
 *           batch runs that layer once for all of its sessions
 *
 * One pass checks many drafts against the choices without them, so drafts change no token. They help
 * if answers repeat their prompt, or resemble those of training. At most logit_rows - 1 are used; none
 * for a model with recurrent states but no checkpoints.
 *
 * Errors: ARGUMENT (options out of range), STATE (neither logits nor queued tokens). */
TIN_API tin_status tin_session_generate(tin_session *session, const tin_sampling *sampling, uint32_t max_tokens,
                                        uint32_t lookup, tin_error *error);

/* What tin_step returns unless it fails. */
enum {
    TIN_STEP_PENDING = 0, /* the budget is spent; call again */
    TIN_STEP_LOGITS = 1,  /* tin_session_logits has new rows: the last queued token's, or requested ones */
    TIN_STEP_IDLE = 2,    /* nothing is queued */
    TIN_STEP_TOKEN = 3,   /* generating: tin_session_token is the next one */
    TIN_STEP_DONE = 4     /* the generation has ended; tin_session_finish says why */
};

/* Computes queued tokens until one of these events, or until the budget is spent. The work stops at the
 * first boundary past the budget. Boundaries lie some tens of microseconds apart; near the end of the
 * budget the parts become small. Returns TIN_STEP_*, or a negative status (STATE: a budget without a
 * clock, or the session belongs to a batch).
 *
 * budget_ns  nanoseconds. 0: no bound; 1: the least step that makes progress, for a host whose time is
 *            over; UINT64_MAX is a bound like any other */
TIN_API int32_t tin_step(tin_session *session, uint64_t budget_ns);

/* The token of the last TIN_STEP_TOKEN. It is already in the session: do not append it. After
 * TIN_STEP_DONE with TIN_FINISH_END: the token that ended the generation, which is not in the session.
 * -1 if the constraint allowed nothing but the end, so that no token was chosen. */
TIN_API int32_t tin_session_token(const tin_session *session);

/* Why a generation ended. */
enum {
    TIN_FINISH_NONE = 0,    /* no generation has ended */
    TIN_FINISH_END = 1,     /* the model chose a token that ends a generation; it is not in the session */
    TIN_FINISH_LENGTH = 2,  /* max_tokens cut or changed the answer (tin_session_constrain) */
    TIN_FINISH_CONTEXT = 3, /* the end of the context did */
    /* The constraint can't be satisfied: no token of the vocabulary fits, or the text has too many
     * readings. The tokens so far are the beginning of an allowed text. */
    TIN_FINISH_CONSTRAINT = 4
};

/* Why the last generation ended: TIN_FINISH_*. */
TIN_API int32_t tin_session_finish(const tin_session *session);

/* How many passes with logits the generation so far took. The prompt's counts, unless its logits were
 * there already. */
TIN_API uint32_t tin_session_passes(const tin_session *session);

/* Confidence in the last generation so far: the natural logarithm of the probability of its chosen
 * tokens, including the end. A choice counts the token's share in the softmax over the tokens allowed
 * there, before temperature and filters. A forced token counts nothing. The value does not depend on
 * how it was computed, and is the same on every machine. 0 unless the generation was to `measure` it.
 * Measuring costs a pass over the vocabulary, or over the tokens that the constraint allows, for each
 * choice. */
TIN_API double tin_session_log_probability(const tin_session *session);

/* An alternative token, and the natural logarithm of its probability. */
typedef struct tin_top {
    double log_probability;
    int32_t token;
    uint32_t reserved;
} tin_top;

/* The numbers behind a chosen token, from the model's own logits: before biases, penalties and
 * temperature. */
typedef struct tin_choice {
    double log_probability; /* natural, among the tokens allowed there; 0 if not measured */
    float logit;            /* 0 for a forced token */
    uint32_t allowed;       /* how many tokens were allowed; 1: the token was forced */
    const tin_top *tops;    /* [top_count]: the likeliest of them; ties by the lowest id */
    uint32_t top_count;
    uint32_t reserved;
} tin_choice;

/* Bytes of memory that tin_session_record needs; 0 on failure (ARGUMENT). */
TIN_API size_t tin_session_record_size(const tin_session *session, uint32_t tops, tin_error *error);

/* From now on the session records its generations' choices (tin_session_choice). It ends no generation.
 *
 * tops         most alternatives of each choice, up to 64, with their probabilities. 0: none; the
 *              token's own probability is then known only if the generation is to `measure` it. Either
 *              costs a pass over the allowed tokens for each choice
 * memory       aligned; stays the caller's, and must stay until the next call of this function. NULL:
 *              record nothing
 * memory_size  bytes, at least tin_session_record_size
 *
 * Errors: ARGUMENT, MEMORY. */
TIN_API tin_status tin_session_record(tin_session *session, uint32_t tops, void *memory, size_t memory_size,
                                      tin_error *error);

/* Fills in *choice for the token of the last TIN_STEP_TOKEN, or, after TIN_STEP_DONE with
 * TIN_FINISH_END, for the end. The values do not depend on how they were computed. Its tops are valid
 * until the next step.
 *
 * Errors: STATE (nothing is recorded, or the last event was another one). */
TIN_API tin_status tin_session_choice(const tin_session *session, tin_choice *choice, tin_error *error);

/* The rows of the newest logits: [*rows][vocab] float32, valid until the next append, rewind or step.
 * NULL if there are none.
 *
 * A row that chose a token under a constraint has minus infinity for forbidden tokens: the output head
 * is computed only for groups of 16 tokens with an allowed one. Rows that tin_session_want_logits
 * requested are complete.
 *
 * first  the position of the first row's token */
TIN_API const float *tin_session_logits(const tin_session *session, uint32_t *rows, uint32_t *first);

/* Chooses a token from the newest row of logits. Returns its id, or a negative status (STATE: no
 * logits; ARGUMENT: options out of range). Does not append it.
 *
 * sampling  NULL for greedy */
TIN_API int32_t tin_session_sample(tin_session *session, const tin_sampling *sampling);

/* Returns the number of tokens computed so far.
 *
 * count   NULL, or where to write the number of all tokens, computed and queued
 * tokens  NULL, or where to write a pointer to the ids */
TIN_API uint32_t tin_session_position(const tin_session *session, uint32_t *count, const int32_t **tokens);

/* ---- Constrained answers ------------------------------------------------------------------- */

/* A compiled constraint (grammar/answer.bin of a file, or made by tinsmith in Python) and the state of
 * an answer in it. The constraint defines the allowed answers. It belongs to one thread at a time. */
typedef struct tin_constraint tin_constraint;

/* Bounds on the memory of a constraint. Zeros are good defaults. */
typedef struct tin_constraint_options {
    /* Most frames on the automaton's stack, up to 4096: how deep a recursive constraint may nest.
     * 0: 64 for a recursive constraint, else exactly as many as it needs. */
    uint32_t depth;
    /* How many masks to cache, each of vocab / 8 bytes, so that a repeated state needs no new one;
     * 0 for 64. */
    uint32_t masks;
} tin_constraint_options;

/* Bytes of memory that tin_constraint_create needs; 0 on failure (the same errors). */
TIN_API size_t tin_constraint_size(const tin_model *model, const void *data, size_t size,
                                   const tin_constraint_options *options, tin_error *error);

/* Checks a compiled constraint, and makes a constraint in `memory`, at its beginning. It also checks the
 * file's trie of tokens (trie.bin), which only constraints read: a millisecond for 49,000 tokens. No
 * later call allocates.
 *
 * data     aligned to 4 bytes; must stay readable and unchanged
 * size     its bytes
 * options  NULL for zeros
 *
 * Errors: ARGUMENT, FORMAT, VERSION, MEMORY, UNSUPPORTED (the model's file has no trie.bin). */
TIN_API tin_status tin_constraint_create(const tin_model *model, const void *data, size_t size,
                                         const tin_constraint_options *options, void *memory,
                                         size_t memory_size, tin_constraint **constraint, tin_error *error);

/* Resets the constraint to its beginning.
 *
 * prefix  at most 256 bytes of text that the answer repeats before the constraint begins; copied. Use
 *         it to write the end of a prompt again in other tokens. NULL for none
 * length  its bytes
 *
 * Errors: ARGUMENT (a longer prefix, or options.depth is too small for any text). */
TIN_API tin_status tin_constraint_begin(tin_constraint *constraint, const char *prefix, size_t length,
                                        tin_error *error);

/* The tokens allowed next: a mask with one bit for each token, the lowest bit of (*mask)[0] for token 0.
 * Tokens that end a generation are allowed where the text may end. No bit is set if no token of the
 * model has the required byte. Valid until the next call for this constraint.
 *
 * left  how many tokens may still follow, including this one; 0: no bound. A token is then allowed only
 *       if the tokens left after it can end the text: by the shortest way in bytes, cut into the
 *       fewest tokens that end at boundaries of its rules. If no token passes, those are allowed that
 *       come closest to the end
 *
 * Errors: UNSUPPORTED (the grammar is too ambiguous: more than 128 readings of the text at once; or it
 * is so large that a mask would take seconds). */
TIN_API tin_status tin_constraint_mask(tin_constraint *constraint, uint32_t left, const uint32_t **mask,
                                       tin_error *error);

/* Advances the constraint by a token. On an error nothing changes.
 *
 * Errors: ARGUMENT (it is not allowed here), UNSUPPORTED (as tin_constraint_mask). */
TIN_API tin_status tin_constraint_accept(tin_constraint *constraint, int32_t token, tin_error *error);

/* The forced tokens: those with which the model's own tokenizer would begin every text that can follow.
 * Writes at most `capacity` to `tokens`; returns how many. They are not accepted yet.
 *
 * before  the last tokens in front of this place, oldest first, since the tokenizer cuts a text as a
 *         whole. Only some 64 bytes of them, back to a control token, are read
 * count   how many; 0: none, and `before` may be NULL
 * left    as tin_constraint_mask; 0: no bound. Tokens are forced only if the text can end in time
 *         behind them, since other tokens may spell the same bytes in fewer */
TIN_API int64_t tin_constraint_forced(tin_constraint *constraint, const int32_t *before, uint32_t count,
                                      uint32_t left, int32_t *tokens, uint32_t capacity);

/* The state of a text under its constraint. */
enum {
    TIN_CONSTRAINT_OPEN = 0,    /* more must follow */
    TIN_CONSTRAINT_MAY_END = 1, /* the text may end or continue */
    TIN_CONSTRAINT_MUST_END = 2 /* only the end can follow */
};

/* The text's state: TIN_CONSTRAINT_*. */
TIN_API int32_t tin_constraint_state(const tin_constraint *constraint);

/* Constrains the session's generations, each from the constraint's beginning; the next generation is
 * the first. NULL removes the constraint. Ends a generation.
 *
 * A constraint may request best-first search, which runs at temperature 0 without penalties and biases.
 * The search backtracks while another prefix of an answer is likelier by the model's softmax over all
 * tokens; the constraint limits the backtracks. tin_step gives a token once all remaining candidates
 * share it, and the rest when the answer is complete. Each token has its choice (tin_session_choice).
 * tin_session_log_probability is the answer's once it is complete. Alternatives are the weighed
 * candidates: at most 8, none e^10 times less likely than the first. The session needs room for the
 * search (tin_session_options).
 *
 * Logits stay unchanged: forbidden tokens are just not chosen. Forced tokens are taken without an
 * evaluation of the model for each. They count against max_tokens, and tin_step returns TIN_STEP_TOKEN
 * for every one. If only the end can follow, the generation ends with TIN_FINISH_END, without another
 * evaluation.
 *
 * An answer that ends with TIN_FINISH_END is the answer without a limit. max_tokens or the end of the
 * context may leave too few tokens to end the text behind the next token. Then the session chooses
 * another token that leaves enough: the text is complete, but finishes with TIN_FINISH_LENGTH or
 * _CONTEXT. If no text ends in time, or under best-first search, the answer is cut.
 *
 * The session uses the constraint until it is given another one or NULL. Do that before releasing the
 * memory of either; until then make no other call for the constraint. Neither tin_session_save nor
 * tin_session_copy includes it.
 *
 * Errors: ARGUMENT (made for another model), STATE (another session has it; a batch is computing
 * drafts). */
TIN_API tin_status tin_session_constrain(tin_session *session, tin_constraint *constraint, tin_error *error);

/* Token healing, for a prompt that may end in the middle of a word or of a token, such as `http:`.
 * Takes back the last tokens, at most 3 and no control token, if some token of the vocabulary begins
 * with their text and continues it. The next generation then begins with that text, in any tokens.
 * Otherwise it does nothing. Whatever ends a generation (appending, rewinding, setting an adapter)
 * cancels the healing. The session must have a constraint.
 *
 * Errors: STATE (no constraint; as tin_session_rewind). */
TIN_API tin_status tin_session_heal(tin_session *session, tin_error *error);

/* Bytes of the prompt's text that the last generation repeats, because of tin_session_heal. */
TIN_API uint32_t tin_session_healed(const tin_session *session);

/* ---- Routers: the task of a prompt, among a file's tasks ----------------------------------- */

/* The hidden state of the token of the newest row of logits: the input of the model's output head, as
 * float32 (8-bit values times their scales if the head's weights read those). Valid as long as the
 * logits. Returns how many numbers it has, the same for every token of a model, even if they exceed
 * `capacity` (only the first `capacity` are written). A negative status on failure (STATE: no logits;
 * UNSUPPORTED: another runtime computed them).
 *
 * out  may be NULL when capacity is 0 */
TIN_API int64_t tin_session_state(const tin_session *session, float *out, size_t capacity);

/* A small linear map from a prompt's hidden state to one of several tasks, or to none of them. Tasks have
 * the names of adapters. Read-only once open; any number of sessions and threads may use it at once. */
typedef struct tin_router tin_router;

/* Bytes of memory that tin_router_open needs; 0 on failure (the same errors, except MEMORY). */
TIN_API size_t tin_router_size(const tin_model *model, const void *data, size_t size, tin_error *error);

/* Checks every byte of a router (router.bin of a file) against the model, and opens it in `memory`. Its
 * numbers are used in place.
 *
 * data         aligned; must stay readable and unchanged for the router's life
 * size         its bytes
 * memory       aligned; stays the caller's
 * memory_size  bytes, at least tin_router_size
 *
 * Errors: ARGUMENT (it belongs to another model), FORMAT (damaged, or a number is not finite), VERSION,
 * MEMORY. */
TIN_API tin_status tin_router_open(const tin_model *model, const void *data, size_t size, void *memory,
                                   size_t memory_size, tin_router **router, tin_error *error);

/* A router's sizes. */
typedef struct tin_router_info {
    uint32_t tasks; /* at most 64 */
    uint32_t rows;  /* of the map: one for each task, then those of "no task"; at most 128 */
    uint32_t dim;   /* numbers of a hidden state */
} tin_router_info;

/* Fills in *info. It cannot fail. */
TIN_API void tin_router_describe(const tin_router *router, tin_router_info *info);

/* The name of a task, in place; NULL past the router's last.
 *
 * least  NULL, or where to write the lowest probability that accepts the task */
TIN_API const char *tin_router_task(const tin_router *router, uint32_t task, float *least);

/* The routing of a prompt. */
typedef struct tin_route {
    uint32_t task;     /* the likeliest; ties by the lowest index */
    uint32_t taken;    /* 1: accepted. 0: the prompt belongs to no task of the router; `task` is the nearest */
    float probability; /* of that task, among all tasks and "no task" */
    float least;       /* the lowest probability that accepts it */
} tin_route;

/* Finds the prompt's task from the hidden state of the newest logits. Step the prompt to its end
 * (TIN_STEP_LOGITS), call this, and set the adapter of that name before the answer is generated. That
 * computes the prompt again, under the adapter; the router itself takes some microseconds. The result
 * is the same on every machine, like the logits.
 *
 * The prompt must be computed without any adapter. Write it as the router's training prompts were: by
 * the file's own chat template, with the answer opened.
 *
 * scores  NULL, or where to write [rows] scores of the tasks and of "no task": their softmax is the
 *         probabilities
 *
 * Errors: ARGUMENT (a router of another model), STATE (no logits, or adapters affected them),
 * UNSUPPORTED (another runtime computed the logits). */
TIN_API tin_status tin_session_route(const tin_session *session, const tin_router *router, float *scores,
                                     tin_route *route, tin_error *error);

/* ---- Copied and saved sessions ------------------------------------------------------------- */

/* Makes `to` a copy of `from` as of its first `count` tokens (at most all; UINT32_MAX takes all): a
 * fork, or the reuse of a prompt's caches. The old contents of `to` are forgotten. Computed caches are
 * copied; the last token is queued again, so that the next step gives its logits. Both must have one
 * model and kv_type, and the same adapters at the same scales. Given rows are copied too; a `count`
 * inside an image becomes that of its beginning.
 *
 * Errors: ARGUMENT, MEMORY (no room for its images), CONTEXT (`to` is too small), STATE (a batch is
 * computing tokens; or attention has a window, and the cache has lost a needed position). */
TIN_API tin_status tin_session_copy(tin_session *to, const tin_session *from, uint32_t count, tin_error *error);

/* Bytes that tin_session_save would write now. */
TIN_API size_t tin_session_save_size(const tin_session *session);

/* Writes tokens, given rows and caches to `out`: the same state gives the same bytes. A generation is
 * not included: call tin_session_generate again with the remaining max_tokens, and the same tokens
 * follow.
 *
 * Errors: MEMORY (size is too small), STATE (a batch is computing its tokens). */
TIN_API tin_status tin_session_save(const tin_session *session, void *out, size_t size, tin_error *error);

/* Restores the bytes that tin_session_save wrote from a session of the same file, kv_type and adapters, on
 * any machine; context and chunk may differ. The result is as after tin_session_copy. On failure the
 * session is unchanged.
 *
 * Errors: FORMAT (damaged, cut short), VERSION, ARGUMENT (another model, kv_type or adapters), CONTEXT,
 * MEMORY (no room for its images), STATE. */
TIN_API tin_status tin_session_restore(tin_session *session, const void *data, size_t size, tin_error *error);

/* Checks in under a second that this device keeps the bit contract for this model. Runs the prompts that
 * the file carries, and compares the digests of their logits with the file's. The session's contents
 * are forgotten; it ends empty.
 *
 * Errors: UNSUPPORTED (other logits, or tin_selfcheck failed), FORMAT (no self-test in the file),
 * CONTEXT, STATE (another kv_type than TIN_KV_F16, adapters, or a batch is computing its tokens). */
TIN_API tin_status tin_session_selftest(tin_session *session, tin_error *error);

/* ---- The vision encoder -------------------------------------------------------------------- */

#ifndef TIN_NO_VISION
/* A model's vision encoder and projector. It turns the patches of an image, or of one tile of it, into
 * states that replace token embeddings in a session. It belongs to one thread at a time. */
typedef struct tin_encoder tin_encoder;

/* The encoder's input and output. */
typedef struct tin_encoder_info {
    uint32_t patch;   /* floats of a patch */
    uint32_t side;    /* of the square of patches that make one state */
    uint32_t patches; /* most patches of an image */
    uint32_t width;   /* floats of a state: dim of tin_model_info */
    uint64_t weight_bytes;
} tin_encoder_info;

/* Fills in *info. UNSUPPORTED for a model without vision. */
TIN_API tin_status tin_encoder_describe(const tin_model *model, tin_encoder_info *info);

/* Sizes and scheduling of an encoder; 0 takes the model's own. */
typedef struct tin_encoder_options {
    uint32_t patches;             /* most patches of an image; 0 for the model's own number */
    const tin_executor *executor; /* as in tin_session_options */
    uint64_t (*clock_ns)(void *); /* for tin_encoder_step's budget; NULL if no budget is ever given */
    void *clock_context;          /* passed to clock_ns */
} tin_encoder_options;

/* Bytes of memory that tin_encoder_create needs: all that images of so many patches take, except the
 * weights. 0 on failure (ARGUMENT; UNSUPPORTED for a model without vision). */
TIN_API size_t tin_encoder_size(const tin_model *model, const tin_encoder_options *options, tin_error *error);

/* Makes an encoder in `memory`, which stays the caller's.
 *
 * Errors: ARGUMENT, UNSUPPORTED, MEMORY. */
TIN_API tin_status tin_encoder_create(const tin_model *model, const tin_encoder_options *options, void *memory,
                                      size_t memory_size, tin_encoder **encoder, tin_error *error);

/* Begins an image of height by width patches, and drops the previous one.
 *
 * patches  [height * width][tin_encoder_info.patch] floats, patches in rows from the top left. They
 *          must stay until the image is done. Order within a patch: that of the model's training
 *
 * Errors: ARGUMENT (no patches, more than there is room for, not a multiple of the side). */
TIN_API tin_status tin_encoder_begin(tin_encoder *encoder, const float *patches, uint32_t height,
                                     uint32_t width, tin_error *error);

/* Continues the image until its states are computed or the budget is spent, as tin_step does. Returns
 * TIN_STEP_DONE, TIN_STEP_PENDING, TIN_STEP_IDLE if no image was begun, or a negative status (STATE: a
 * budget without a clock).
 *
 * budget_ns  nanoseconds; 0: no bound */
TIN_API int32_t tin_encoder_step(tin_encoder *encoder, uint64_t budget_ns);

/* The image's states, [*count][width] floats, squares in rows from the top left; valid until the next
 * image begins. Before they are computed: NULL, and a *count of 0.
 *
 * count  NULL, or where to write their number */
TIN_API const float *tin_encoder_states(const tin_encoder *encoder, uint32_t *count);
#endif

/* ---- Many sessions at once ----------------------------------------------------------------- */

/* A batch computes the queued tokens of several sessions together, prompts and single tokens alike, so
 * that one pass over the weights serves all. Each session gets the same bits as alone. A batch belongs
 * to one thread at a time, with the sessions that it steps. */
typedef struct tin_batch tin_batch;

/* Sizes and scheduling of a batch. Zeros are good defaults. */
typedef struct tin_batch_options {
    uint32_t rows; /* most tokens computed at once, up to 4096; 0 for the model's chunk */
    /* Most rows of logits at once; 0 for as many as `rows`. It needs one for every session that should
     * finish its queue in the same pass. */
    uint32_t logit_rows;
    const tin_executor *executor; /* as in tin_session_options; those of the sessions are ignored */
    uint64_t (*clock_ns)(void *); /* for tin_batch_step's budget; NULL if no budget is ever given */
    void *clock_context;          /* passed to clock_ns */
    uint32_t adapter_rank;        /* room for each session's adapters, as in tin_session_options */
} tin_batch_options;

/* Bytes of memory that tin_batch_create needs; 0 on failure (ARGUMENT). */
TIN_API size_t tin_batch_size(const tin_model *model, const tin_batch_options *options, tin_error *error);

/* Makes a batch in `memory`, which stays the caller's.
 *
 * Errors: ARGUMENT, MEMORY. */
TIN_API tin_status tin_batch_create(const tin_model *model, const tin_batch_options *options, void *memory,
                                    size_t memory_size, tin_batch **batch, tin_error *error);

/* Steps `count` sessions of the batch's model together, until one has an event or the budget is spent.
 * Returns the number of events other than PENDING and IDLE: 0 when the budget is spent or nothing is
 * queued. A negative status on failure.
 *
 * The logits belong to the batch. They are valid until its next pass, for whichever sessions, and no
 * longer than its memory: rewind the sessions that outlive it. After the next pass,
 * tin_session_sample and tin_session_generate fail with STATE.
 *
 * A session in an unfinished pass belongs to the batch. Until the pass ends, the session can't be
 * rewound, copied or stepped by itself, and its memory must stay.
 *
 * events  events[k] is what tin_step would return for sessions[k]
 *
 * Errors: STATE (a budget without a clock), ARGUMENT (a session of another model; one in another
 * unfinished pass; adapters that the batch has no room for; an image whose rows attend to each other
 * and exceed the batch's rows). */
TIN_API int32_t tin_batch_step(tin_batch *batch, tin_session *const *sessions, uint32_t count,
                               uint64_t budget_ns, int32_t *events);

/* From the next pass on, bounds the prompt tokens of a pass to `rows` while other sessions generate.
 * Generating sessions then wait for a part of a long prompt, not for as much of it as a pass holds. 0:
 * no bound. It changes no bit. */
TIN_API void tin_batch_slice(tin_batch *batch, uint32_t rows);

/* Drops the unfinished pass. Its sessions are free again, and their tokens are queued again. */
TIN_API void tin_batch_cancel(tin_batch *batch);

/* ---- Images -------------------------------------------------------------------------------- */

/* An image of a conversation. The pixels are a camera's or a frame buffer's, in place, or those that
 * tin_image_read wrote. */
typedef struct tin_image {
    const uint8_t *rgb; /* uint8[height][width][3], rows `stride` bytes apart */
    size_t stride;
    uint32_t width, height;
    uint32_t message; /* index, from 0, of the user's message before whose content it stands */
} tin_image;

/* A build with TIN_NO_VISION has neither these nor the encoder above. A program that links the static library
 * contains them only if it calls them. */
#ifndef TIN_NO_VISION

/* An image file's properties, known before its pixels are read. */
typedef struct tin_image_info {
    uint32_t width, height; /* pixels, after the rotation that its EXIF states */
    size_t rgb;             /* bytes of its pixels: width * height * 3 */
    size_t memory;          /* bytes of working memory for tin_image_read */
} tin_image_info;

/* Reads the header of a PNG or JPEG file: every PNG (of an animated one, the still image), and every
 * Huffman-coded JPEG of 8 bits. A JPEG may be progressive, and grey, in colours or in inks (CMYK). The file may
 * be hostile. Any thread may call.
 *
 * file  the whole file, `size` bytes
 * most  most bytes for its pixels and the reading together. This bound refuses a small file that claims a
 *       large image
 * info  written on success
 *
 * Errors: ARGUMENT (nothing given), FORMAT (damaged or cut short), UNSUPPORTED (neither PNG nor JPEG, or an
 * unsupported kind of either), MEMORY (more than `most`). */
TIN_API tin_status tin_image_look(const void *file, size_t size, uint64_t most, tin_image_info *info,
                                  tin_error *error);

/* Reads the pixels, bit for bit those of Pillow and of Hugging Face's image processors. Transparent pixels lie
 * over white; 16 bits become their upper 8; the image is turned as its EXIF says. Colour profiles are ignored.
 * Any thread may call.
 *
 * memory, memory_size  at least info.memory bytes, aligned to TIN_ALIGNMENT; free again afterwards
 * rgb, rgb_size        at least info.rgb bytes: uint8[height][width][3]. An error may leave parts written
 *
 * Errors: as tin_image_look; MEMORY (a block too small or misaligned). */
TIN_API tin_status tin_image_read(const void *file, size_t size, void *memory, size_t memory_size, uint8_t *rgb,
                                  size_t rgb_size, tin_error *error);

/* How an image is resized, with Pillow's numbers: its filters, with antialiasing, in its fixed-point arithmetic.
 * docs/vision.md states the distance of torchvision's. */
enum { TIN_FILTER_LANCZOS = 1, TIN_FILTER_BILINEAR = 2, TIN_FILTER_BICUBIC = 3 };

/* How an image is cut into tiles, with the image processors that do so. */
enum {
    TIN_TILING_PLAIN = 1,    /* resized to width x height; Gemma 3, SigLIP */
    TIN_TILING_IDEFICS3 = 2, /* to `edge`, to whole tiles, and a tile of the whole; Idefics3, SmolVLM */
    TIN_TILING_LFM2 = 3,     /* as SMART if it is small, else tiles and a thumbnail; LFM2-VL */
    TIN_TILING_SMART = 4     /* to multiples of `factor` within a number of pixels; Qwen */
};

/* The configuration of an image processor. A tiling reads only the fields that name it, or name none. */
typedef struct tin_pixels_rules {
    double scale;                  /* factor of a byte, before mean and std: 1 / 255 */
    float mean[3], std[3];         /* value = ((float)(byte * scale) - mean) / std */
    uint32_t tiling, filter;       /* TIN_TILING_*, TIN_FILTER_* */
    uint32_t patch;                /* pixels along a patch */
    uint32_t merge;                /* patches in blocks of merge x merge; 1: row by row */
    uint32_t frames;               /* copies of each channel's plane in a row: 1, Qwen's 2; 0: pixel by pixel */
    uint32_t width, height;        /* PLAIN: pixels */
    uint32_t edge;                 /* IDEFICS3: pixels along the longer side */
    uint32_t tile;                 /* IDEFICS3, LFM2: pixels along a tile */
    uint32_t min_tiles, max_tiles; /* LFM2; IDEFICS3 has no tiles if max_tiles is 1 */
    uint32_t thumbnail;            /* LFM2: the whole image after its tiles */
    uint32_t factor;               /* LFM2, SMART: both sides become multiples of so many pixels */
    uint32_t min_pixels, max_pixels; /* LFM2, SMART: of the resized image */
    float tolerance;                 /* LFM2: an image is large above max_pixels * tolerance */
} tin_pixels_rules;

/* Most sizes of one image. */
#define TIN_MAX_VIEWS 3

/* The image at one size. */
typedef struct tin_pixels_view {
    uint32_t width, height; /* pixels */
    uint32_t across, down;  /* tiles, all of one size; 0: only the source of later views */
    uint32_t from;          /* source of the resizing: 0 the image, k views[k - 1] */
} tin_pixels_view;

/* The output of tin_pixels_make for an image. */
typedef struct tin_pixels_plan {
    uint32_t width, height; /* of the image */
    uint32_t rows, columns; /* patches, of all tiles; floats of each */
    uint32_t tiles;
    uint32_t count; /* of views */
    tin_pixels_view views[TIN_MAX_VIEWS];
    size_t memory; /* bytes of working memory for tin_pixels_make */
} tin_pixels_plan;

/* Computes the plan that the rules give for an image of this size. Any thread may call.
 *
 * plan  written on success
 *
 * Errors: ARGUMENT (a size, or rules that fit no encoder), UNSUPPORTED (too long and narrow), MEMORY (more than
 * this machine can address). */
TIN_API tin_status tin_pixels_size(const tin_pixels_rules *rules, uint32_t width, uint32_t height,
                                   tin_pixels_plan *plan, tin_error *error);

/* Makes the patches: resizes, cuts, normalizes. It reads a camera's or a frame buffer's pixels in place. The same
 * bits on every machine. Any thread may call.
 *
 * rgb, stride          uint8[height][width][3], rows `stride` bytes apart
 * memory, memory_size  at least plan.memory bytes, aligned to TIN_ALIGNMENT
 * rows, count          at least plan.rows * plan.columns floats: tile after tile, left to right, then down. In a
 *                      tile, patches in the order that `merge` states. A patch is [3][frames][patch][patch],
 *                      or [patch][patch][3] if frames is 0
 *
 * Errors: as tin_pixels_size; ARGUMENT (no pixels, or a stride below a row), MEMORY (a block too small or
 * misaligned). */
TIN_API tin_status tin_pixels_make(const tin_pixels_rules *rules, const uint8_t *rgb, size_t stride,
                                   uint32_t width, uint32_t height, void *memory, size_t memory_size,
                                   float *rows, size_t count, tin_error *error);

/* A conversation with images, being added to a session: as tokens in the form of the model's training, with each
 * tile that the session lacks encoded. It belongs to one thread at a time. */
typedef struct tin_vision tin_vision;

/* How a conversation becomes tokens, and its images are encoded. Zeros are good defaults. */
typedef struct tin_vision_options {
    const tin_image *images;      /* in order of their places; the pixels must stay until all are encoded */
    uint32_t image_count;         /* of them */
    uint32_t flags;               /* TIN_CHAT_* */
    const void *turns;            /* another chat template than the file's, as in tin_template_chat; or NULL */
    size_t turns_size;            /* its bytes */
    const tin_executor *executor; /* as in tin_session_options */
    uint64_t (*clock_ns)(void *); /* for tin_vision_step's budget; NULL if no budget is ever given */
    void *clock_context;          /* passed to clock_ns */
} tin_vision_options;

/* The room that a conversation takes in a session. */
typedef struct tin_vision_info {
    uint32_t tokens;     /* of its context */
    uint32_t tiles;      /* of tin_session_options.tiles: an image has one or more */
    uint32_t image_rows; /* of tin_session_options.image_rows */
} tin_vision_info;

/* Bytes of memory that tin_vision_create needs: all that encoding these images takes, except the weights. It
 * depends only on the template, the sizes of the images and the lengths of the texts. 0 on failure.
 *
 * messages, count  as in tin_chat
 * options          NULL for all 0
 *
 * Errors: as tin_vision_create, except MEMORY. */
TIN_API size_t tin_vision_size(const tin_model *model, const tin_message *messages, uint32_t count,
                               const tin_vision_options *options, tin_error *error);

/* Writes the conversation as tokens, and reads each image once, for its digest. The contents of messages are
 * text, as in tin_chat. Any thread may call.
 *
 * messages     may go afterwards
 * memory       aligned; stays the caller's
 * memory_size  bytes, at least tin_vision_size
 *
 * Errors: as tin_chat and tin_pixels_size; UNSUPPORTED (a model without vision, or a file without
 * vision/images.bin), FORMAT, VERSION, CONTEXT (more tokens than the model's context). */
TIN_API tin_status tin_vision_create(const tin_model *model, const tin_message *messages, uint32_t count,
                                     const tin_vision_options *options, void *memory, size_t memory_size,
                                     tin_vision **vision, tin_error *error);

/* Fills in *info. It cannot fail. */
TIN_API void tin_vision_describe(const tin_vision *vision, tin_vision_info *info);

/* The conversation's tokens, tin_vision_info.tokens of them, with TIN_EMBEDDED for each row of its images. */
TIN_API const int32_t *tin_vision_tokens(const tin_vision *vision);

/* Makes the conversation the session's tokens, as tin_session_replace_embedded does, and queues its tiles as
 * they are encoded. Tiles that the session has already are not encoded again. Between calls nothing else may
 * change the session. Resizing stops between two rows of pixels, the encoder between any two parts of an op.
 *
 * Returns TIN_STEP_DONE when all is queued, TIN_STEP_PENDING when the budget is spent, or a negative status.
 *
 * session    of the vision's model
 * budget_ns  nanoseconds; 0: no bound
 *
 * Errors: as tin_session_replace_embedded; STATE (a budget without a clock). */
TIN_API int32_t tin_vision_step(tin_vision *vision, tin_session *session, uint64_t budget_ns, tin_error *error);

/* Bytes of memory that tin_vision_selftest needs, including a session and the encoder: far fewer than a whole
 * image takes. 0 on failure: as tin_vision_selftest, except MEMORY. */
TIN_API size_t tin_vision_selftest_size(const tin_model *model, tin_error *error);

/* Checks that this device keeps the bit contract for this model's vision. Reads and encodes the small image
 * that the file carries, and compares the digest of the logits with the file's. Any thread may call.
 *
 * memory       aligned, zeros; free again afterwards
 * memory_size  bytes, at least tin_vision_selftest_size
 *
 * Errors: UNSUPPORTED (other logits, tin_selfcheck failed, a model without vision, or a file without an image),
 * FORMAT, VERSION, MEMORY. */
TIN_API tin_status tin_vision_selftest(const tin_model *model, void *memory, size_t memory_size,
                                       tin_error *error);
#endif

#ifdef __cplusplus
}
#endif

#endif
