/* tin.h: run a sealed language model (.tin).
 *
 * The library is C11, needs nothing but memcpy and memset, keeps no global state, and never
 * allocates, prints, exits or starts a thread: memory and files come from the caller. (The
 * optional pool, tin_pool, is the one part that starts threads.)
 *
 *   map the file ─▶ tin_model_size   / tin_model_create
 *                ─▶ tin_session_size / tin_session_create
 *                ─▶ tin_session_append ─▶ tin_step ─▶ tokens, logits
 *
 * Threads: a tin_model is read-only once created and may be used by any number of threads at
 * once. A tin_session belongs to one thread at a time. To destroy an object, release the memory
 * that you gave for it.
 *
 * Memory: give sessions and batches blocks of zeros (from calloc, or new pages of the system). The
 * library does not clear them, and the program in a hostile file could turn what a block held
 * before, such as another model's conversation, into logits.
 *
 * Same bits: the same file and tokens give the same logits, bit for bit, on every instruction
 * set, with any number of threads, however the work is divided into steps.
 */
#ifndef TIN_H
#define TIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Version and errors ------------------------------------------------------------------- */

/* The version of this header, stated here only: the build files read it from this line. Before
 * 1.0 a new minor version may change any interface. */
#define TIN_VERSION "0.1.0"

/* TIN_SHARED: libtin is a shared library, or is being built as one (with TIN_BUILDING). Without
 * it nothing is exported on purpose: linked into a library of yours, tin stays inside. */
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

/* Every failure: TIN_ERR_<name>, its value (which never changes), its meaning. */
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
    char text[252]; /* what was wrong, one line, NUL-terminated */
} tin_error;

/* Alignment in bytes of every block of memory, and of every file image, that is given to the
 * library. */
#define TIN_ALIGNMENT 64

/* The name of a status, such as "TIN_ERR_FORMAT"; "TIN_OK" for 0, "TIN_ERR_UNKNOWN" for any
 * other value. */
TIN_API const char *tin_status_name(tin_status status);

/* The library's version, "major.minor.patch": TIN_VERSION of the header it was built with. */
TIN_API const char *tin_version(void);

/* The name of the k-th instruction set that this build has and this processor runs, slowest
 * first; NULL past the end. */
TIN_API const char *tin_isa_name(uint32_t k);

/* Computes a few results that a compiler with unsafe float options would change. TIN_OK when they
 * are right; TIN_ERR_UNSUPPORTED when this build does not keep the bit contract. */
TIN_API tin_status tin_selfcheck(tin_error *error);

/* ---- Sealing: is it the file that was sealed? -------------------------------------------- */

/* Checks every byte of a file against its manifest, and the manifest against a signature: TIN_OK
 * only for the very file that the owner of the key signed. Call it before tin_model_create, and
 * let nobody write to the memory in between. It says who made the file, and that it has not changed
 * since; whether its contents make sense is checked by tin_model_create, for any file, whether or not
 * this was called. Any thread may call. It takes some 8 KB of stack.
 *
 * file            the whole .tin image
 * size            its bytes. Each is read once (SHA-256)
 * signature       the text of the .minisig file that `tinsmith sign` or `minisign` wrote; NULL:
 *                 none, which is an error where there is a key
 * signature_size  its bytes
 * key             the public key, NUL-terminated: minisign's line "RW...", or the text of a .pub
 *                 file. NULL asks for no signature: then damage is found, but not what an attacker
 *                 changed, since anyone can write a manifest that fits
 *
 * Errors: ARGUMENT (no file, or not a public key), FORMAT (a byte differs from what the manifest
 * says), SIGNATURE. */
TIN_API tin_status tin_file_verify(const void *file, size_t size, const char *signature, size_t signature_size,
                                   const char *key, tin_error *error);

/* What may be asked of a signature besides whose it is. Its trusted comment states it, as in
 * "tinsmith version=7 not-after=2027-01-31", which
 * `tinsmith sign --version 7 --not-after 2027-01-31` writes. The library has no clock and remembers
 * nothing: the host says what time it is, and the least version that it accepts, such as that of
 * the file that it ran last. */
typedef struct tin_freshness {
    uint32_t min_version; /* of the signature, which must then state one; 0 asks for none */
    int64_t now;          /* seconds since 1970 (UTC): refused once its not-after is over; 0: not asked */
} tin_freshness;

/* As tin_file_verify; and the signature states what is asked. A comment that states it in another
 * form than this, or twice, is refused where anything is asked.
 *
 * key     must be given where anything is asked; else NULL asks for no signature, as in tin_file_verify
 * asked   NULL, or all 0, asks for nothing
 *
 * Errors: as tin_file_verify; ARGUMENT (something is asked and there is no key, or a time before 1970),
 * SIGNATURE for an older version, and for one whose time is over. */
TIN_API tin_status tin_file_verify_fresh(const void *file, size_t size, const char *signature,
                                         size_t signature_size, const char *key, const tin_freshness *asked,
                                         tin_error *error);

/* ---- Model: a checked view of a file image ------------------------------------------------ */

/* A model: what tin_model_create found in a file. */
typedef struct tin_model tin_model;

/* Bytes of memory that tin_model_create needs for this file, the same on every machine; 0 on
 * failure.
 *
 * file   the whole .tin image, aligned to TIN_ALIGNMENT (a mapped file is)
 * size   its bytes */
TIN_API size_t tin_model_size(const void *file, size_t size, tin_error *error);

/* Checks every offset, size and count of the file, and that its entries agree (one vocabulary, one
 * context, tokens that exist), and makes a model in `memory`. An untrusted file gives an error, or
 * works within the memory that it is given; that it answers well, or soon, only a signature can say
 * (tin_file_verify).
 *
 * file         must stay readable and unchanged for the model's life; weights are used in place,
 *              never copied
 * isa          the name of an instruction set, or NULL for the best one that this processor runs
 * memory       aligned; stays the caller's
 * memory_size  bytes, at least tin_model_size
 *
 * Errors: ARGUMENT, FORMAT, VERSION, UNSUPPORTED, MEMORY. */
TIN_API tin_status tin_model_create(const void *file, size_t size, const char *isa, void *memory,
                                    size_t memory_size, tin_model **model, tin_error *error);

/* What a model is, and what its sessions take. */
typedef struct tin_model_info {
    uint32_t vocab;   /* tokens */
    uint32_t context; /* most positions that a session can have */
    uint32_t chunk;   /* tokens computed at once, where a session asks for no other number */
    uint32_t layers;  /* key-value caches */
    uint64_t weight_bytes;
    uint64_t arena_bytes; /* working memory for `chunk` tokens, beside caches and logits */
    uint64_t kv_bytes;    /* float16 cache bytes per position, without windows */
    uint64_t state_bytes; /* of recurrent states, however many positions; 0: the model has none */
    int32_t bos, eos;     /* token ids, or -1 */
    uint64_t fingerprint; /* of the whole file's contents: equal for equal files */
    const char *isa;      /* instruction set in use */
    uint32_t dim;         /* floats of a row that may take the place of a token's embedding; 0: none may */
} tin_model_info;

/* Fills in *info. It cannot fail. */
TIN_API void tin_model_describe(const tin_model *model, tin_model_info *info);

/* The bytes of a named entry of the file, in place ("manifest.json", …). TIN_ERR_ARGUMENT when
 * there is none. */
TIN_API tin_status tin_model_entry(const tin_model *model, const char *name, const void **data, size_t *size);

/* ---- Text --------------------------------------------------------------------------------- */

/* Flags of tin_tokenize. */
enum {
    TIN_TEXT_SPECIAL = 1, /* control tokens such as <|im_end|> written in the text are recognized */
    TIN_TEXT_BOS = 2      /* begin with the bos token, if the model was trained with one there */
};

/* Bytes of scratch memory that tokenizing `length` bytes of text needs. tin_tokenize refuses a
 * text over 64 MiB; for such a length this gives the bytes for 64 MiB. 0 where they are more than
 * this machine can address: with some tokenizers, 53 MiB of text on one of 32 bits. */
TIN_API size_t tin_tokenize_scratch(const tin_model *model, size_t length);

/* Text to token ids. Returns the number of tokens, even when it is more than `capacity` (only the
 * first `capacity` are written); it is at most 3 * length + 2. A negative status on failure
 * (ARGUMENT, MEMORY).
 *
 * text   UTF-8; bytes that are not UTF-8 are kept as they are
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

/* ---- Conversations ------------------------------------------------------------------------ */

/* Who a message is from. */
enum {
    TIN_ROLE_SYSTEM = 0,
    TIN_ROLE_USER = 1,
    TIN_ROLE_ASSISTANT = 2,
    TIN_ROLE_TOOL = 3 /* what a call returned */
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
    TIN_CHAT_ANSWER = 1, /* end with what opens the assistant's answer */
    TIN_CHAT_THINK = 2,  /* turn on the template's switch for thinking */
    TIN_CHAT_DIRECT = 4  /* turn it off */
};

/* Bytes of scratch memory that tin_chat needs for these messages, whatever its flags; 0 on failure
 * (for the same errors as tin_chat). */
TIN_API size_t tin_chat_scratch(const tin_model *model, const tin_message *messages, uint32_t count,
                                tin_error *error);

/* A conversation to token ids, as the model was trained to see it: the file's chat template is
 * applied. The contents of messages stay text: nothing in them becomes a control token. Returns
 * the number of tokens, even when it is more than `capacity` (only the first `capacity` are
 * written); a negative status on failure. Any thread may call.
 *
 * An assistant's content may begin with thoughts, "<think>…</think>": the template decides whether
 * they are kept or dropped.
 *
 * For the next turn, call it again with the longer conversation, and give the tokens to
 * tin_session_replace.
 *
 * flags    TIN_CHAT_*
 * scratch  aligned to 4 bytes
 *
 * Errors: ARGUMENT (no message, a role out of place, over 64 MiB of text), MEMORY (scratch),
 * UNSUPPORTED (the file has no template, or its template does not take such a message or has no
 * switch for thinking). */
TIN_API int64_t tin_chat(const tin_model *model, const tin_message *messages, uint32_t count, uint32_t flags,
                         int32_t *tokens, size_t capacity, void *scratch, size_t scratch_size,
                         tin_error *error);

/* As tin_chat_scratch, by another chat template than the file's (tin_template_chat). */
TIN_API size_t tin_template_scratch(const tin_model *model, const void *turns, size_t size,
                                    const tin_message *messages, uint32_t count, tin_error *error);

/* As tin_chat, by another chat template than the file's: the one that an adapter was trained under.
 *
 * turns  adapter/<name>/turns.bin of a file, aligned to 4 bytes, which is checked each time; NULL: the
 *        file's own template
 * size   its bytes
 *
 * Errors: as tin_chat; FORMAT, VERSION (not a template of this model's tokens). */
TIN_API int64_t tin_template_chat(const tin_model *model, const void *turns, size_t size,
                                  const tin_message *messages, uint32_t count, uint32_t flags, int32_t *tokens,
                                  size_t capacity, void *scratch, size_t scratch_size, tin_error *error);

/* ---- Work on several threads -------------------------------------------------------------- */

/* How a session spreads its work over threads. tin_pool makes one; an engine wraps its own job
 * system in one. */
typedef struct tin_executor {
    void *context;    /* passed to run */
    uint32_t threads; /* how many may work at once, ≥ 1 */
    /* Calls job(argument, k) once for every k < count, on any threads, in any order, and returns
     * when all of them have returned. */
    void (*run)(void *context, uint32_t count, void (*job)(void *argument, uint32_t k), void *argument);
    /* The same within a budget of less than 40 ms, where a thread that may be late had better not
     * begin; NULL: `run` does both. */
    void (*run_in_time)(void *context, uint32_t count, void (*job)(void *argument, uint32_t k), void *argument);
} tin_executor;

/* The pool is optional, for POSIX systems and Windows. Builds without threads (WebAssembly, bare
 * metal) and builds with TIN_NO_POOL have none. */
#if !defined(TIN_NO_POOL) && \
    (defined(__wasm__) || !(defined(_WIN32) || defined(__unix__) || defined(__APPLE__)))
#define TIN_NO_POOL
#endif
#ifndef TIN_NO_POOL
/* A pool of threads. Not there in a build without a pool (TIN_NO_POOL). */
typedef struct tin_pool tin_pool;

/* Bytes of memory that tin_pool_create needs.
 *
 * threads  1 to 64, the caller's own included; for any other number the result is 0 */
TIN_API size_t tin_pool_size(uint32_t threads);

/* Makes a pool in `memory` and starts its threads: one fewer than `threads`, and no more than
 * there are processors for, since more would only wait for each other. Between jobs they spin for
 * some 100 microseconds, then sleep. Nothing allocates after this. A thread that the system puts aside
 * in the middle of its work holds up the others: within a budget of less than 40 ms one that did so
 * rests for 0.2 to 25 s, and works again once it has run for 25 ms on its own without being put aside.
 *
 * The child of a fork has none of the threads. There the pool still works, on the calling thread
 * alone and with the same bits, and may be destroyed; a session that another thread had under way
 * at the fork is lost to the child.
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

/* Bounds the share of the time that the pool's threads, the caller's among them, spend at work where a
 * step has no budget, or one of 40 ms and more: they work for a while, then all sleep in proportion, some
 * milliseconds at a time. It leaves other threads the processor, and a battery or a small case cool. No bit
 * changes. Within a shorter budget nothing sleeps: there the host's budget is the duty cycle.
 *
 * percent  1 to 100; a pool begins with 100. Out of range: the nearer end. Takes effect at the next step; not
 *          to be called while a session runs on the pool */
TIN_API void tin_pool_duty_cycle(tin_pool *pool, uint32_t percent);

/* The pool's executor, valid as long as the pool. Its `threads` is how many really work. One
 * session at a time may run on it. */
TIN_API const tin_executor *tin_pool_executor(tin_pool *pool);
#endif

/* ---- Adapters: other skills of the same model --------------------------------------------- */

/* What gives one model in memory many skills: low-rank factors (LoRA) that a session adds to the model's
 * matrices while it computes, or a prefix, trained keys, values and recurrent states that stand before
 * its first token (prefix tuning). Read-only once it is open; any number of sessions and threads may
 * use it at once. */
typedef struct tin_adapter tin_adapter;

/* Bytes of memory that tin_adapter_open needs; 0 on failure (for the same errors, MEMORY aside). */
TIN_API size_t tin_adapter_size(const tin_model *model, const void *data, size_t size, tin_error *error);

/* Checks every byte of a compiled adapter (adapter/<name>.bin of a file) against the model, and makes
 * an adapter in `memory`. Its factors are used in place, never copied.
 *
 * data         aligned; must stay readable and unchanged for the adapter's life
 * size         its bytes
 * memory       aligned; stays the caller's
 * memory_size  bytes, at least tin_adapter_size
 *
 * Errors: ARGUMENT (it belongs to another model: what does not fit is said), FORMAT (damaged, or a
 * number is not finite), VERSION, MEMORY. */
TIN_API tin_status tin_adapter_open(const tin_model *model, const void *data, size_t size, void *memory,
                                    size_t memory_size, tin_adapter **adapter, tin_error *error);

/* What an adapter is. */
typedef struct tin_adapter_info {
    uint32_t matrices;     /* how many of the model's it adds to; 0 for a prefix */
    uint32_t rank;         /* the highest: what it takes of a session's adapter_rank */
    uint64_t factor_bytes; /* of all its factors, or of a prefix's numbers */
    uint64_t fingerprint;  /* of its contents: equal for equal adapters */
    uint32_t prefix;       /* tokens that a prefix stands for, places of a session's context; or 0 */
    uint32_t reserved;
} tin_adapter_info;

/* Fills in *info. It cannot fail. */
TIN_API void tin_adapter_describe(const tin_adapter *adapter, tin_adapter_info *info);

/* ---- Session: one conversation ------------------------------------------------------------ */

/* A conversation: its tokens, caches and working memory. */
typedef struct tin_session tin_session;

/* What is added to the logits of a token. */
typedef struct tin_bias {
    int32_t token;
    float value; /* finite, or -infinity: the token is not chosen where there is another */
} tin_bias;

/* How the next token is chosen. The steps, in order: biases, repetition penalty, frequency and
 * presence penalty, temperature, top_k, top_p, min_p, one draw. The draw is a hash of (seed,
 * position): the same seed and prompt give the same text again. */
typedef struct tin_sampling {
    float temperature;        /* ≥ 0; 0 takes the likeliest token, ties to the lowest id */
    uint32_t top_k;           /* keep the k likeliest; 0 keeps all */
    float top_p;              /* keep the likeliest that sum to p; 1 keeps all */
    float min_p;              /* keep tokens at least min_p times as likely as the best; 0 keeps all */
    float repetition_penalty; /* > 0; 1 has no effect */
    uint32_t repeat_last;     /* how many of the latest tokens are penalized; 0 for all */
    uint64_t seed;
    uint32_t measure; /* 1: a generation counts how likely its choices are (tin_session_log_probability) */
    /* Of a token that the answer already has, logit - count * frequency_penalty - presence_penalty takes
     * the place of its logit; count: how often. Zeros have no effect. */
    float presence_penalty;
    float frequency_penalty;
    /* How many of the session's latest tokens are the answer so far, for these two; a generation counts
     * those that it adds. */
    uint32_t answered;
    uint32_t bias_count;
    const tin_bias *biases; /* [bias_count], which must stay as long as the generation; or NULL */
} tin_sampling;

/* How keys and values are kept. The two types give different logits; each keeps the bit
 * contract. */
enum {
    TIN_KV_F16 = 0, /* float16 */
    /* int8 with a float16 scale for every 32: about half the bytes. The size of a head must be a
     * multiple of 32. */
    TIN_KV_Q8 = 1
};

/* What a session is made for. Zeros are good defaults. */
typedef struct tin_session_options {
    uint32_t context;             /* most positions; 0 for the model's own */
    uint32_t chunk;               /* most tokens computed at once, up to 4096; 0 for the model's own number */
    uint32_t logit_rows;          /* most rows of logits at once, at most `chunk`; 0 for 1 */
    uint32_t kv_type;             /* TIN_KV_* */
    uint32_t batched;             /* 1: only ever stepped in a tin_batch, so it gets no working memory */
    const tin_executor *executor; /* NULL runs on the calling thread */
    uint64_t (*clock_ns)(void *); /* for tin_step's budget; NULL when no budget is ever given */
    void *clock_context;          /* passed to clock_ns */
    /* Only for a model with recurrent states (state_bytes of tin_model_info): how many earlier
     * states to keep, up to 62, each of state_bytes. The states after the last token and before it
     * are kept as well, whatever this number.
     *
     * A recurrent state cannot be cut back to fewer tokens. When tokens are forgotten, or a session
     * is copied with fewer tokens, the work begins again at the newest kept state that still fits,
     * or at the first token if there is none. The results are the same; they only come later.
     *
     * States at the ends of prompts, and where tokens were forgotten, are kept first; the others
     * are spread over the session. */
    uint32_t checkpoints;
    uint32_t adapter_rank; /* room for adapters: what their ranks add up to at most; 0: it takes none */
    /* Room for what is given in the place of tokens' embeddings (tin_embedded): the session keeps it, so
     * that nothing of the caller's has to stay. Most tiles of images at once, and most rows of all, each of
     * dim (tin_model_info) floats; 0: it takes none. */
    uint32_t tiles;
    uint32_t image_rows;
    uint32_t searches; /* 1: room for constraints with best-first search, as where one of the file's has it */
} tin_session_options;

/* Bytes of memory that tin_session_create needs, the same on every machine; 0 on failure
 * (ARGUMENT, UNSUPPORTED). */
TIN_API size_t tin_session_size(const tin_model *model, const tin_session_options *options, tin_error *error);

/* Makes an empty session in `memory`, which stays the caller's. No later call allocates.
 *
 * Errors: ARGUMENT, MEMORY, UNSUPPORTED (a kv_type that the model's heads do not fit). */
TIN_API tin_status tin_session_create(const tin_model *model, const tin_session_options *options, void *memory,
                                      size_t memory_size, tin_session **session, tin_error *error);

/* Flags of tin_session_adapter. */
enum {
    /* What was computed under the adapters of before is kept, and what follows goes on from it. The
     * session's logits are then those of no adapter alone. */
    TIN_ADAPTER_KEEP = 1
};

/* Sets what an adapter counts in a session, and ends a generation. The session's tokens stay, and
 * unless TIN_ADAPTER_KEEP is given, those computed are computed again under the adapters that it has
 * now: that is the cost of a change in a conversation; with no tokens yet it costs nothing. Where
 * nothing changes, nothing is done.
 *
 * adapter  of the session's model, or NULL to take off all; it must stay open while the session has
 *          it. A session may have 8 at once, and adds them in the order in which they were set. One of
 *          them may be a prefix: the adapters then add to what is computed behind it
 * scale    what its update is multiplied by, 1 as it was trained; 0 takes it off. A prefix has no other
 * flags    TIN_ADAPTER_*
 *
 * A prefix takes places of the session's context, and needs no adapter_rank. What was computed behind
 * another one can't be kept.
 *
 * Errors: ARGUMENT (of another model; no room for its rank; a scale that is not finite, or not a
 * prefix's; a second prefix; a prefix and TIN_ADAPTER_KEEP), CONTEXT (no room for a prefix), STATE
 * (under way in a batch). Nothing is changed then. */
TIN_API tin_status tin_session_adapter(tin_session *session, const tin_adapter *adapter, float scale,
                                       uint32_t flags, tin_error *error);

/* What a session's tokens hold at positions whose rows are given. It is no token: where it stands
 * without a tin_embedded it is an id out of range. */
#define TIN_EMBEDDED (-1)

/* Rows in the place of tokens' embeddings: an image's, or those of a tile of it. They go into the model
 * as they are, after what the model does with a token's own embedding (some scale it).
 *
 * An image is there whole or not at all: to rewind to a position inside it is to rewind to its first. In
 * a model whose rows of one image see each other it is computed in one pass, and only the last
 * logit_rows of its rows may have logits. */
typedef struct tin_embedded {
    uint32_t at;      /* its first place among the tokens it is given with */
    uint32_t count;   /* of rows, and of TIN_EMBEDDED from there on */
    uint32_t columns; /* of the image's rows of places, in reading order; it divides count */
    /* [count][dim] float32, copied by the call. NULL: they are those that the session has there with this
     * digest (tin_session_replace_embedded). */
    const float *rows;
    /* Says which rows these are: two images of one digest are the same to a session, its copies and
     * its saved bytes. A SHA-256 of what the rows were made from. */
    uint8_t digest[32];
} tin_embedded;

/* Queues tokens behind those already there, and ends a generation. All or nothing: as any call here that
 * fails, it leaves the session as it was, a generation under way among it.
 *
 * Errors: ARGUMENT (an id out of range), CONTEXT, STATE (its drafts are under way in a batch). */
TIN_API tin_status tin_session_append(tin_session *session, const int32_t *tokens, uint32_t count,
                                      tin_error *error);

/* As tin_session_append, with rows in the place of the tokens that are TIN_EMBEDDED.
 *
 * embedded  [embedded_count], in the order of their places, of which no two overlap; NULL for none
 *
 * Errors: also ARGUMENT (embedded and TIN_EMBEDDED do not fit each other; no rows; an image whose rows see each
 * other has more than the session's chunk), MEMORY (no room for so many images or rows). */
TIN_API tin_status tin_session_append_embedded(tin_session *session, const int32_t *tokens, uint32_t count,
                                               const tin_embedded *embedded, uint32_t embedded_count,
                                               tin_error *error);

/* Fills in *embedded: the k-th image among the session's tokens, its rows as the session keeps them until it
 * is changed. 0 past the last, else 1. */
TIN_API int tin_session_embedded(const tin_session *session, uint32_t k, tin_embedded *embedded);

/* Forgets every token from `position` on, computed or queued, ends a generation and drops work
 * under way. To cancel, rewind to tin_session_position.
 *
 * Errors: ARGUMENT, STATE (under way in a batch; or attention has a window, and the cache no longer
 * holds what the token at `position` would look back to: rewind to 0). */
TIN_API tin_status tin_session_rewind(tin_session *session, uint32_t position, tin_error *error);

/* Makes room in a full context: forgets `drop` tokens from position `keep` on and queues those
 * behind them again, so that everything is as in a session that never had them.
 *
 * Errors: as tin_session_rewind; ARGUMENT (it would keep a part of an image). */
TIN_API tin_status tin_session_shift(tin_session *session, uint32_t keep, uint32_t drop, tin_error *error);

/* Makes `tokens` the session's tokens. The beginning that they share with the present ones is not
 * computed again, except for its last token when nothing follows it, so that the next step has
 * logits to give.
 *
 * Errors: ARGUMENT (an id out of range), CONTEXT, STATE (under way in a batch). Nothing is changed then. */
TIN_API tin_status tin_session_replace(tin_session *session, const int32_t *tokens, uint32_t count,
                                       tin_error *error);

/* As tin_session_replace, with rows in the place of the tokens that are TIN_EMBEDDED. An image that the
 * session has at the same place behind the same beginning, with the same digest, needs no rows and is
 * not computed again.
 *
 * Errors: also as tin_session_append_embedded. */
TIN_API tin_status tin_session_replace_embedded(tin_session *session, const int32_t *tokens, uint32_t count,
                                                const tin_embedded *embedded, uint32_t embedded_count,
                                                tin_error *error);

/* How many of these tokens, from the first on, the session has: those whose rows tin_session_replace_embedded
 * does not need. */
TIN_API uint32_t tin_session_shared(const tin_session *session, const int32_t *tokens, uint32_t count,
                                    const tin_embedded *embedded, uint32_t embedded_count);

/* Asks for the logits of every token from `position` on, as well as those of the last queued one,
 * which are always made. Holds until it is called again; a new session asks for none (UINT32_MAX).
 *
 * Errors: STATE (work is under way). */
TIN_API tin_status tin_session_want_logits(tin_session *session, uint32_t position, tin_error *error);

/* Sets the session's draft table, which drafts tokens of a generation by a task's answers in training, and
 * ends a generation. It changes no token. A new session has its file's own, drafts/answer.bin.
 *
 * data  of drafts/answer.bin or of an adapter's (tin_model_entry), aligned to 4 bytes; it must stay readable
 *       while the session has it. NULL: none
 * size  its bytes
 *
 * Errors: ARGUMENT, FORMAT, VERSION, STATE (under way in a batch). The table of before stays then. */
TIN_API tin_status tin_session_draft(tin_session *session, const void *data, size_t size, tin_error *error);

/* Lets tin_step choose tokens, up to max_tokens of them, to follow what is queued (or the logits
 * that are there).
 *
 * sampling  NULL for greedy; copied
 * lookup    most tokens to draft at once from what followed the same words earlier in the session
 *           (prompt lookup: Saxena 2023), where the session's draft table has none; 0 for no drafts at
 *           all. A model's own layer for it (multi-token prediction; mtp/program.bin) drafts one; those of a
 *           batch go through it together. Drafts are checked, many at a time, against what is chosen without them, so they
 *           change no token; they pay where answers repeat their prompt, or are like those of training.
 *           At most logit_rows - 1 are used, and none for a model with recurrent states without
 *           checkpoints.
 *
 * Errors: ARGUMENT (options out of range), STATE (nothing to go on from). */
TIN_API tin_status tin_session_generate(tin_session *session, const tin_sampling *sampling, uint32_t max_tokens,
                                        uint32_t lookup, tin_error *error);

/* What tin_step returns when it does not fail. */
enum {
    TIN_STEP_PENDING = 0, /* the budget is spent; call again */
    TIN_STEP_LOGITS = 1,  /* tin_session_logits has new rows: the last queued token's, or those wanted */
    TIN_STEP_IDLE = 2,    /* nothing is queued */
    TIN_STEP_TOKEN = 3,   /* generating: tin_session_token is the next one */
    TIN_STEP_DONE = 4     /* the generation has ended; tin_session_finish says why */
};

/* Computes queued tokens until one of these events, or until `budget_ns` is spent (0: no bound; 1: the
 * least step that makes progress, for a host whose time is over; UINT64_MAX is a bound like any other).
 * The work stops at the first boundary past the budget; boundaries lie some tens of microseconds
 * apart, and the last parts before the end are made small. Returns TIN_STEP_*, or a negative status
 * (STATE: a budget without a clock, or the session belongs to a batch). */
TIN_API int32_t tin_step(tin_session *session, uint64_t budget_ns);

/* The token of the last TIN_STEP_TOKEN. It is already in the session: do not append it. After TIN_STEP_DONE
 * with TIN_FINISH_END, the token that ended the generation, which is not in the session; -1 where none was chosen,
 * since the constraint left nothing but the end. */
TIN_API int32_t tin_session_token(const tin_session *session);

/* Why a generation ended. */
enum {
    TIN_FINISH_NONE = 0,    /* no generation has ended */
    TIN_FINISH_END = 1,     /* the model chose a token that ends a generation; it is not in the session */
    TIN_FINISH_LENGTH = 2,  /* max_tokens cut the answer, or made it another one (tin_session_constrain) */
    TIN_FINISH_CONTEXT = 3, /* the end of the context did */
    /* The session's constraint can't be kept: no token of the vocabulary fits, or the text has more
     * readings than can be followed. The tokens given so far are the beginning of an allowed text. */
    TIN_FINISH_CONSTRAINT = 4
};

/* Why the last generation ended: TIN_FINISH_*. */
TIN_API int32_t tin_session_finish(const tin_session *session);

/* How many times the model was evaluated for the generation so far, counting passes that made
 * logits. That of the prompt is one of them, unless its logits were there already. */
TIN_API uint32_t tin_session_passes(const tin_session *session);

/* Confidence in the last generation so far: the natural logarithm of the probability of
 * the tokens that it chose, that of the end among them. A choice counts the token's share in the
 * softmax over the tokens that were allowed there, before temperature and filters; a token that had
 * to come counts nothing. So it does not depend on how it was computed, and is the same on every
 * machine. 0 where the generation was not to `measure` it, which costs a pass over the vocabulary a
 * choice, or over the tokens that the constraint allows. */
TIN_API double tin_session_log_probability(const tin_session *session);

/* A token that might have been chosen, and the natural logarithm of its probability. */
typedef struct tin_top {
    double log_probability;
    int32_t token;
    uint32_t reserved;
} tin_top;

/* What a token was chosen by, all by the model's own logits: before biases, penalties and temperature. */
typedef struct tin_choice {
    double log_probability; /* natural, among the tokens allowed there; 0 where it was not measured */
    float logit;            /* 0 where the token had to come */
    uint32_t allowed;       /* how many tokens might have been chosen; 1: it had to come */
    const tin_top *tops;    /* [top_count]: the likeliest of them, ties by the lowest id */
    uint32_t top_count;
    uint32_t reserved;
} tin_choice;

/* Bytes of memory that tin_session_record needs; 0 on failure (ARGUMENT). */
TIN_API size_t tin_session_record_size(const tin_session *session, uint32_t tops, tin_error *error);

/* From now on the session keeps what its generations choose by. It ends no generation.
 *
 * tops         most alternatives of each choice, up to 64, with their probabilities. 0: none, and that
 *              of the token itself is known only where the generation is to `measure` it. Either costs
 *              a pass over the allowed tokens a choice
 * memory       aligned; stays the caller's, and must stay until another is given. NULL: nothing is kept
 * memory_size  bytes, at least tin_session_record_size
 *
 * Errors: ARGUMENT, MEMORY. */
TIN_API tin_status tin_session_record(tin_session *session, uint32_t tops, void *memory, size_t memory_size,
                                      tin_error *error);

/* Fills in *choice: by what the token of the last TIN_STEP_TOKEN was chosen, or, after TIN_STEP_DONE
 * with TIN_FINISH_END, the end. The same however it was computed. Its tops last until the next step.
 *
 * Errors: STATE (nothing is kept, or no such event was the last). */
TIN_API tin_status tin_session_choice(const tin_session *session, tin_choice *choice, tin_error *error);

/* The rows of the newest logits: [*rows][vocab] float32, valid until the next append, rewind or
 * step. NULL when there are none.
 *
 * A row by which a token was chosen under a constraint has minus infinity for those that were not allowed:
 * the output head is computed only for groups of 16 tokens of which one is. Where tin_session_want_logits
 * asks for the row, it is whole.
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

/* ---- Constrained answers ------------------------------------------------------------------ */

/* A compiled constraint (grammar/answer.bin of a file, or made by tinsmith in Python), which says
 * what an answer may be, and how far an answer has got in it. It belongs to one thread at a
 * time. */
typedef struct tin_constraint tin_constraint;

/* How much memory a constraint may take. Zeros are good defaults. */
typedef struct tin_constraint_options {
    /* Most frames on the automaton's stack, up to 4096: how deep a recursive constraint may nest.
     * 0 for 64 where the constraint is recursive, and for exactly what it needs where it is not. */
    uint32_t depth;
    /* How many masks to keep, each of vocab / 8 bytes, so that a state met again needs no new one;
     * 0 for 64. */
    uint32_t masks;
} tin_constraint_options;

/* Bytes of memory that tin_constraint_create needs; 0 on failure (for the same errors). */
TIN_API size_t tin_constraint_size(const tin_model *model, const void *data, size_t size,
                                   const tin_constraint_options *options, tin_error *error);

/* Checks a compiled constraint, and makes of it in `memory` a constraint that stands at its
 * beginning. The file's tree of tokens (trie.bin), which only constraints read, is checked too: a
 * millisecond for 49,000 tokens. No later call allocates.
 *
 * data     aligned to 4 bytes; must stay readable and unchanged
 * size     its bytes
 * options  NULL for zeros
 *
 * Errors: ARGUMENT, FORMAT, VERSION, MEMORY, UNSUPPORTED (the model's file has no trie.bin). */
TIN_API tin_status tin_constraint_create(const tin_model *model, const void *data, size_t size,
                                         const tin_constraint_options *options, void *memory,
                                         size_t memory_size, tin_constraint **constraint, tin_error *error);

/* Back to the beginning.
 *
 * prefix  at most 256 bytes of text that the answer repeats before the constraint begins; copied.
 *         It is for a prompt whose end was taken back, to be written again in other tokens. NULL for
 *         none
 * length  its bytes
 *
 * Errors: ARGUMENT (a longer prefix, or options.depth is too small for any text). */
TIN_API tin_status tin_constraint_begin(tin_constraint *constraint, const char *prefix, size_t length,
                                        tin_error *error);

/* Which tokens may come next. The mask has one bit for each token, the lowest bit of (*mask)[0] for
 * token 0. Tokens that end a generation are allowed where the text may end. No bit is set when the
 * model has no token for a byte that must come. Valid until the next call for this constraint.
 *
 * left  how many tokens may still come, this one included; 0: no bound. A token is then allowed
 *       only if the tokens left after it can end the text, by the shortest way in bytes, cut into
 *       the fewest tokens that end where its rules do. Where no token is, those are allowed that
 *       come closest to the end
 *
 * Errors: UNSUPPORTED (the grammar is too ambiguous: more than 128 readings of the text at once; or
 * so large that a mask would take seconds). */
TIN_API tin_status tin_constraint_mask(tin_constraint *constraint, uint32_t left, const uint32_t **mask,
                                       tin_error *error);

/* Moves on by a token.
 *
 * Errors: ARGUMENT (it is not allowed here), UNSUPPORTED (as tin_constraint_mask); nothing is
 * changed then. */
TIN_API tin_status tin_constraint_accept(tin_constraint *constraint, int32_t token, tin_error *error);

/* Tokens that must come next: those with which the model's own tokenizer would begin every text
 * that can follow. At most `capacity` are written to `tokens`; returns how many. They are not
 * accepted yet.
 *
 * before  the last tokens in front of this place, oldest first, since a text is cut into tokens as
 *         a whole; only some 64 bytes of them, up to a control token, are looked at
 * count   how many; 0: none, and `before` may be NULL
 * left    as tin_constraint_mask: none must come where a text that can end in time could not after
 *         them, since other tokens may spell the same bytes in fewer; 0: no bound */
TIN_API int64_t tin_constraint_forced(tin_constraint *constraint, const int32_t *before, uint32_t count,
                                      uint32_t left, int32_t *tokens, uint32_t capacity);

/* Where a text stands under its constraint. */
enum {
    TIN_CONSTRAINT_OPEN = 0,    /* more must come */
    TIN_CONSTRAINT_MAY_END = 1, /* the text may end, or go on */
    TIN_CONSTRAINT_MUST_END = 2 /* nothing but the end can come */
};

/* Where the text stands: TIN_CONSTRAINT_*. */
TIN_API int32_t tin_constraint_state(const tin_constraint *constraint);

/* Constrains the session's generations, from the next one on, each from the constraint's beginning; NULL
 * lifts the constraint. Ends a generation.
 *
 * A constraint may ask for best-first search, which runs at temperature 0 without penalties and biases. The search
 * backtracks, at most as often as the constraint says, while another prefix of an answer is likelier by the model's
 * softmax over all tokens. tin_step gives a token once all remaining candidates share it, and the rest when the answer
 * is complete, each with the choice behind it (tin_session_choice); from then on tin_session_log_probability is the
 * answer's. Alternatives are the candidates that were weighed: at most 8, none e^10 times less likely than the first.
 * The session needs room for the search (tin_session_options).
 *
 * Logits stay as they are: tokens that are not allowed are simply not chosen. Tokens that must come
 * next are taken without evaluating the model for each: they count against max_tokens, and tin_step
 * still returns TIN_STEP_TOKEN for every one. When nothing but the end can follow, the generation
 * ends with TIN_FINISH_END and without another evaluation.
 *
 * An answer that ends with TIN_FINISH_END is the one without a limit. Where max_tokens or the end of
 * the context leaves no time to end the text behind the token that would come, another token is
 * chosen, with which there is: the text is whole, but finishes with TIN_FINISH_LENGTH or _CONTEXT.
 * Where no text ends in time, or the answer is searched for, it is cut.
 *
 * The session uses the constraint until it is given another one or NULL. Do that before releasing
 * the memory of either, and until then make no other call for the constraint. tin_session_save does
 * not write it, and tin_session_copy does not copy it.
 *
 * Errors: ARGUMENT (made for another model), STATE (another session has it; drafts are under way
 * in a batch). */
TIN_API tin_status tin_session_constrain(tin_session *session, tin_constraint *constraint, tin_error *error);

/* Token healing, for a prompt that may end in the middle of a word or of a token, such as `http:`.
 * Takes back the last tokens, at most 3 and no control token, if the vocabulary has a token that
 * begins with their text and continues it; the next generation then begins with that text, in
 * whatever tokens. Otherwise it does nothing. Whatever ends a generation (appending, rewinding,
 * setting an adapter) forgets what was taken back. The session must have a constraint.
 *
 * Errors: STATE (no constraint; as tin_session_rewind). */
TIN_API tin_status tin_session_heal(tin_session *session, tin_error *error);

/* Bytes of the prompt's text that the last generation begins with, because of tin_session_heal. */
TIN_API uint32_t tin_session_healed(const tin_session *session);

/* ---- Routers: which of a file's tasks a prompt is for ------------------------------------- */

/* The hidden state of the token whose logits are the newest row: the numbers that the model's output
 * head takes, as float32 (8-bit values times their scales, where the head's weights read those). It lasts
 * as long as the logits. Returns how many numbers it has, the same for every token of a model, even when
 * they are more than `capacity` (only the first `capacity` are written); a negative status on failure
 * (STATE: no logits; UNSUPPORTED: another runtime made them).
 *
 * out  may be NULL when capacity is 0 */
TIN_API int64_t tin_session_state(const tin_session *session, float *out, size_t capacity);

/* A small linear map from a prompt's hidden state to one of some tasks, which are named as adapters are,
 * or to none of them. Read-only once it is open; any number of sessions and threads may use it at once. */
typedef struct tin_router tin_router;

/* Bytes of memory that tin_router_open needs; 0 on failure (for the same errors, MEMORY aside). */
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

/* What a router is. */
typedef struct tin_router_info {
    uint32_t tasks; /* at most 64 */
    uint32_t rows;  /* of the map: one for each task, then those for none of them; at most 128 */
    uint32_t dim;   /* numbers of a hidden state */
} tin_router_info;

/* Fills in *info. It cannot fail. */
TIN_API void tin_router_describe(const tin_router *router, tin_router_info *info);

/* The name of a task, in place; NULL for one that the router does not have.
 *
 * least  NULL, or where to write the probability from which on the task is taken */
TIN_API const char *tin_router_task(const tin_router *router, uint32_t task, float *least);

/* Where a prompt belongs. */
typedef struct tin_route {
    uint32_t task;     /* the likeliest; of equally likely ones the first */
    uint32_t taken;    /* 1: it is the prompt's. 0: none of the router's tasks is, and this is the nearest */
    float probability; /* of that task, among all tasks and none of them */
    float least;       /* from which on it is taken */
} tin_route;

/* Reads from the newest logits' state which task the prompt is for: step the prompt to its end
 * (TIN_STEP_LOGITS), ask, and set the adapter of that name before the answer is generated. That computes
 * the prompt again, under the adapter; the router itself costs some microseconds. The same on every
 * machine, like the logits.
 *
 * The prompt must have been computed without any adapter, and should be written as those were that the
 * router was made from: by the file's own chat template, with its answer opened.
 *
 * scores  NULL, or where to write [rows] scores of the tasks and of none of them: their softmax are the
 *         probabilities
 *
 * Errors: ARGUMENT (a router of another model), STATE (no logits, or adapters shaped them), UNSUPPORTED
 * (another runtime made the logits). */
TIN_API tin_status tin_session_route(const tin_session *session, const tin_router *router, float *scores,
                                     tin_route *route, tin_error *error);

/* ---- Sessions of one prefix, and sessions as bytes ---------------------------------------- */

/* Makes `to` what `from` was when it had its first `count` tokens (at most all; UINT32_MAX takes
 * all): a fork, or the reuse of a prompt computed once. What `to` held is forgotten. What has been
 * computed is copied; the last token is queued again, so that the next step gives its logits. Both
 * must be of one model and kv_type, and have the same adapters at the same scales. Rows that were given are
 * copied too; a `count` inside an image is that of its beginning.
 *
 * Errors: ARGUMENT, MEMORY (no room for its images), CONTEXT (`to` is too small), STATE (work under way in a batch; or attention has
 * a window, and the cache no longer holds what is needed). */
TIN_API tin_status tin_session_copy(tin_session *to, const tin_session *from, uint32_t count, tin_error *error);

/* Bytes that tin_session_save would write now. */
TIN_API size_t tin_session_save_size(const tin_session *session);

/* Writes tokens, given rows and caches to `out`: the same state gives the same bytes. A generation is not part
 * of it: call tin_session_generate again, with what is left of max_tokens, and the same tokens
 * follow.
 *
 * Errors: MEMORY (size is too small), STATE (work under way in a batch). */
TIN_API tin_status tin_session_save(const tin_session *session, void *out, size_t size, tin_error *error);

/* Reads what tin_session_save wrote from a session of the same file, kv_type and adapters, on any machine;
 * context and chunk may differ. The session is then as tin_session_copy leaves one. On failure it
 * is as it was.
 *
 * Errors: FORMAT (damaged, cut short), VERSION, ARGUMENT (another model, kv_type or adapters), CONTEXT,
 * MEMORY (no room for its images), STATE. */
TIN_API tin_status tin_session_restore(tin_session *session, const void *data, size_t size, tin_error *error);

/* Says in under a second whether this device keeps the bit contract for this model: runs the
 * prompts that the file carries and compares the digests of their logits with those in the file.
 * Forgets what the session held, and leaves it empty.
 *
 * Errors: UNSUPPORTED (other logits, or tin_selfcheck failed), FORMAT (no self-test in the file),
 * CONTEXT, STATE (another kv_type than TIN_KV_F16, adapters, or work under way in a batch). */
TIN_API tin_status tin_session_selftest(tin_session *session, tin_error *error);

/* ---- The vision encoder -------------------------------------------------------------------- */

#ifndef TIN_NO_VISION
/* A model's vision encoder and projector. It turns the patches of one image, or of one tile of it, into states,
 * which take the place of token embeddings in a session. It belongs to one thread at a time. */
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
    uint32_t patches;             /* most patches of an image; 0 for as many as the model takes */
    const tin_executor *executor; /* as in tin_session_options */
    uint64_t (*clock_ns)(void *); /* for tin_encoder_step's budget; NULL when no budget is ever given */
    void *clock_context;          /* passed to clock_ns */
} tin_encoder_options;

/* Bytes of memory that tin_encoder_create needs: all that images of so many patches take, beside the
 * weights. 0 on failure (ARGUMENT; UNSUPPORTED for a model without vision). */
TIN_API size_t tin_encoder_size(const tin_model *model, const tin_encoder_options *options, tin_error *error);

/* Makes an encoder in `memory`, which stays the caller's.
 *
 * Errors: ARGUMENT, UNSUPPORTED, MEMORY. */
TIN_API tin_status tin_encoder_create(const tin_model *model, const tin_encoder_options *options, void *memory,
                                      size_t memory_size, tin_encoder **encoder, tin_error *error);

/* Begins an image of height by width patches; the one before is given up.
 *
 * patches  [height * width][tin_encoder_info.patch] floats, patches in rows from the top left, which must
 *          stay there until the image is done; within a patch, as the model was trained
 *
 * Errors: ARGUMENT (no patches, more than there is room for, not a multiple of the side). */
TIN_API tin_status tin_encoder_begin(tin_encoder *encoder, const float *patches, uint32_t height,
                                     uint32_t width, tin_error *error);

/* Goes on with the image until its states are made or the budget is spent, as tin_step does. Returns
 * TIN_STEP_DONE, TIN_STEP_PENDING, TIN_STEP_IDLE where none was begun, or a negative status (STATE: a
 * budget without a clock).
 *
 * budget_ns  nanoseconds; 0: no bound */
TIN_API int32_t tin_encoder_step(tin_encoder *encoder, uint64_t budget_ns);

/* The image's states, [*count][width] floats, squares in rows from the top left; they are there until
 * the next image begins. NULL, and a *count of 0, before they are made.
 *
 * count  NULL or where their number goes */
TIN_API const float *tin_encoder_states(const tin_encoder *encoder, uint32_t *count);
#endif

/* ---- Many sessions at once ---------------------------------------------------------------- */

/* A batch computes the queued tokens of several sessions together, prompts and single tokens alike,
 * so that weights are read once for all. Each session gets the bits that it would get alone. It
 * belongs to one thread at a time, with the sessions that it steps. */
typedef struct tin_batch tin_batch;

/* What a batch is made for. Zeros are good defaults. */
typedef struct tin_batch_options {
    uint32_t rows; /* most tokens computed at once, up to 4096; 0 for the model's chunk */
    /* Most rows of logits at once: at least one for every session that is to finish its queue in
     * the same pass; 0 for as many as `rows`. */
    uint32_t logit_rows;
    const tin_executor *executor; /* as in tin_session_options; the sessions' own are not used */
    uint64_t (*clock_ns)(void *); /* for tin_batch_step's budget; NULL when no budget is ever given */
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

/* Steps `count` sessions of the batch's model together, until one has an event or the budget is
 * spent. Returns how many events are neither PENDING nor IDLE, so 0 when the budget is spent or
 * nothing is queued, or a negative status (STATE: a budget without a clock; ARGUMENT: a session of
 * another model, one that is under way elsewhere, or one whose adapters the batch has no room for, or an
 * image whose rows see each other and are more than the batch's rows).
 *
 * The logits belong to the batch. They are valid until its next pass, whichever sessions that is
 * for (tin_session_sample and tin_session_generate then fail with STATE), and no longer than its
 * memory: rewind the sessions that outlive it. A session whose tokens are under way belongs to the
 * batch: until they are done it can't be rewound, copied or stepped by itself, and its memory must
 * stay.
 *
 * events  events[k] is what tin_step would return for sessions[k] */
TIN_API int32_t tin_batch_step(tin_batch *batch, tin_session *const *sessions, uint32_t count,
                               uint64_t budget_ns, int32_t *events);

/* From the next pass on, at most `rows` tokens of prompts are computed at once where other sessions go
 * on with their answers, so that these wait for a part of a long prompt, and not for all that a pass
 * holds. 0: no bound. It changes no bit. */
TIN_API void tin_batch_slice(tin_batch *batch, uint32_t rows);

/* Drops the work under way; its sessions are free, and their tokens are queued again. */
TIN_API void tin_batch_cancel(tin_batch *batch);

/* ---- Images ------------------------------------------------------------------------------- */

/* An image of a conversation: pixels of a camera or a frame buffer where they lie, or those that tin_image_read
 * wrote. */
typedef struct tin_image {
    const uint8_t *rgb; /* uint8[height][width][3], rows `stride` bytes apart */
    size_t stride;
    uint32_t width, height;
    uint32_t message; /* before whose content it stands, counted from 0: one of a user */
} tin_image;

/* Neither these nor the encoder above are in a build without them (TIN_NO_VISION). A program that links the static
 * library has them only where it calls them. */
#ifndef TIN_NO_VISION

/* What an image's file says before its pixels are read. */
typedef struct tin_image_info {
    uint32_t width, height; /* pixels, as it stands once turned as its EXIF says */
    size_t rgb;             /* bytes of its pixels: width * height * 3 */
    size_t memory;          /* bytes that tin_image_read works in */
} tin_image_info;

/* Reads the header of a PNG or JPEG file: every PNG, of an animated one the still image; every Huffman-coded JPEG of 8
 * bits, progressive too, grey, in colours or in inks. The file may be hostile. Any thread may call.
 *
 * file  the whole file's `size` bytes
 * most  the bytes that its pixels and the reading may take together: the caller's bound, so that a small
 *       file that claims a large image is refused here
 * info  written on success
 *
 * Errors: ARGUMENT (nothing given), FORMAT (damaged or cut short), UNSUPPORTED (neither PNG nor JPEG, or of a
 * kind that is not read), MEMORY (more than `most`). */
TIN_API tin_status tin_image_look(const void *file, size_t size, uint64_t most, tin_image_info *info,
                                  tin_error *error);

/* Reads the pixels: those that Pillow reads and Hugging Face's image processors see, bit for bit. What is
 * transparent lies over white; 16 bits become their upper 8; the image is turned as its EXIF says. Colour
 * profiles are not applied. Any thread may call.
 *
 * memory, memory_size  at least info.memory bytes, aligned to TIN_ALIGNMENT; free again afterwards
 * rgb, rgb_size        at least info.rgb bytes: uint8[height][width][3]. On an error parts may be written
 *
 * Errors: as tin_image_look; MEMORY (a block too small or misaligned). */
TIN_API tin_status tin_image_read(const void *file, size_t size, void *memory, size_t memory_size, uint8_t *rgb,
                                  size_t rgb_size, tin_error *error);

/* How an image is resized, by Pillow's numbers: its filters, with antialiasing, in its fixed-point arithmetic.
 * How far torchvision's are from them, docs/vision.md says. */
enum { TIN_FILTER_LANCZOS = 1, TIN_FILTER_BILINEAR = 2, TIN_FILTER_BICUBIC = 3 };

/* How an image is cut into tiles, by the image processor that does it so. */
enum {
    TIN_TILING_PLAIN = 1,    /* resized to width x height; Gemma 3, SigLIP */
    TIN_TILING_IDEFICS3 = 2, /* to `edge`, to whole tiles, and all of it in one more; Idefics3, SmolVLM */
    TIN_TILING_LFM2 = 3,     /* as SMART where it is small, else tiles and a thumbnail; LFM2-VL */
    TIN_TILING_SMART = 4     /* to multiples of `factor` within a number of pixels; Qwen */
};

/* What an image processor's configuration says. What a tiling does not name it does not read. */
typedef struct tin_pixels_rules {
    double scale;            /* of a byte, before mean and std: 1 / 255 */
    float mean[3], std[3];   /* value = ((float)(byte * scale) - mean) / std */
    uint32_t tiling, filter; /* TIN_TILING_*, TIN_FILTER_* */
    uint32_t patch;          /* pixels along a patch */
    uint32_t merge;          /* patches come in blocks of merge x merge; 1: row by row */
    uint32_t frames;         /* how often a row has each channel's plane: 1, Qwen's 2; 0: pixel by pixel */
    uint32_t width, height;  /* PLAIN: pixels */
    uint32_t edge;           /* IDEFICS3: pixels along the longer side */
    uint32_t tile;           /* IDEFICS3, LFM2: pixels along a tile */
    uint32_t min_tiles, max_tiles;   /* LFM2; IDEFICS3 has no tiles where max_tiles is 1 */
    uint32_t thumbnail;              /* LFM2: all of the image after its tiles */
    uint32_t factor;                 /* LFM2, SMART: pixels that both sides are a multiple of */
    uint32_t min_pixels, max_pixels; /* LFM2, SMART: of the resized image */
    float tolerance;                 /* LFM2: it is large above max_pixels * tolerance */
} tin_pixels_rules;

/* Most sizes of one image. */
#define TIN_MAX_VIEWS 3

/* The image at one size. */
typedef struct tin_pixels_view {
    uint32_t width, height; /* pixels */
    uint32_t across, down;  /* tiles, all of one size; 0: it is only what later views are made of */
    uint32_t from;          /* what it is resized from: 0 the image, k views[k - 1] */
} tin_pixels_view;

/* What tin_pixels_make makes of an image. */
typedef struct tin_pixels_plan {
    uint32_t width, height; /* of the image */
    uint32_t rows, columns; /* patches, of all tiles; floats of each */
    uint32_t tiles;
    uint32_t count; /* of views */
    tin_pixels_view views[TIN_MAX_VIEWS];
    size_t memory; /* bytes that tin_pixels_make works in */
} tin_pixels_plan;

/* What the rules make of an image of that size. Any thread may call.
 *
 * plan  written on success
 *
 * Errors: ARGUMENT (a size, or rules that fit no encoder), UNSUPPORTED (too long and narrow), MEMORY (more than
 * this machine can address). */
TIN_API tin_status tin_pixels_size(const tin_pixels_rules *rules, uint32_t width, uint32_t height,
                                   tin_pixels_plan *plan, tin_error *error);

/* Makes the patches: resizes, cuts, normalizes. A camera's or a frame buffer's pixels are read where they lie.
 * The same bits on every machine. Any thread may call.
 *
 * rgb, stride          uint8[height][width][3], rows `stride` bytes apart
 * memory, memory_size  at least plan.memory bytes, aligned to TIN_ALIGNMENT
 * rows, count          at least plan.rows * plan.columns floats: tile after tile, left to right, then down;
 *                      each its patches in the order that merge says; a patch is [3][frames][patch][patch],
 *                      or where frames is 0 [patch][patch][3]
 *
 * Errors: as tin_pixels_size; ARGUMENT (no pixels, or a stride below a row), MEMORY (a block too small or
 * misaligned). */
TIN_API tin_status tin_pixels_make(const tin_pixels_rules *rules, const uint8_t *rgb, size_t stride,
                                   uint32_t width, uint32_t height, void *memory, size_t memory_size,
                                   float *rows, size_t count, tin_error *error);

/* A conversation with images on its way into a session. It is written as the model was trained on it; each tile
 * that the session does not have yet goes through the encoder. It belongs to one thread at a time. */
typedef struct tin_vision tin_vision;

/* How a conversation is written and its images encoded. Zeros are good defaults. */
typedef struct tin_vision_options {
    const tin_image
        *images;          /* in the order in which they stand; their pixels must stay until all are encoded */
    uint32_t image_count; /* of them */
    uint32_t flags;       /* TIN_CHAT_* */
    const void *turns;    /* another chat template than the file's, as in tin_template_chat; or NULL */
    size_t turns_size;    /* its bytes */
    const tin_executor *executor; /* as in tin_session_options */
    uint64_t (*clock_ns)(void *); /* for tin_vision_step's budget; NULL when no budget is ever given */
    void *clock_context;          /* passed to clock_ns */
} tin_vision_options;

/* What a conversation takes of a session. */
typedef struct tin_vision_info {
    uint32_t tokens;     /* of its context */
    uint32_t tiles;      /* of the room that tin_session_options.tiles states: an image has one or more */
    uint32_t image_rows; /* and of its image_rows */
} tin_vision_info;

/* Bytes of memory that tin_vision_create needs: all that encoding these images takes, beside the weights. It depends on
 * the template, the sizes of the images and the lengths of the texts alone. 0 on failure.
 *
 * messages, count  as in tin_chat
 * options          NULL for all 0
 *
 * Errors: as tin_vision_create, but for MEMORY. */
TIN_API size_t tin_vision_size(const tin_model *model, const tin_message *messages, uint32_t count,
                               const tin_vision_options *options, tin_error *error);

/* Writes the conversation as tokens, and reads each image once, for its digest. What messages say is text, as in
 * tin_chat. Any thread may call.
 *
 * messages     may go afterwards
 * memory       aligned; stays the caller's
 * memory_size  bytes, at least tin_vision_size
 *
 * Errors: as tin_chat and tin_pixels_size; UNSUPPORTED (a model without vision, or whose file does not say how
 * images are written), FORMAT, VERSION, CONTEXT (more tokens than the model's context). */
TIN_API tin_status tin_vision_create(const tin_model *model, const tin_message *messages, uint32_t count,
                                     const tin_vision_options *options, void *memory, size_t memory_size,
                                     tin_vision **vision, tin_error *error);

/* Fills in *info. It cannot fail. */
TIN_API void tin_vision_describe(const tin_vision *vision, tin_vision_info *info);

/* The conversation's tokens, tin_vision_info.tokens of them, with TIN_EMBEDDED for each of its images' rows. */
TIN_API const int32_t *tin_vision_tokens(const tin_vision *vision);

/* Makes the conversation the session's tokens, as tin_session_replace_embedded does, and queues its tiles as they are
 * encoded; those that the session has already are not encoded again. Returns TIN_STEP_DONE when all is queued,
 * TIN_STEP_PENDING when the budget is spent, or a negative status; nothing else may change the session in between. Resizing
 * stops between two rows of pixels, the encoder between any two parts of an op.
 *
 * session    of the vision's model
 * budget_ns  nanoseconds; 0: no bound
 *
 * Errors: as tin_session_replace_embedded; STATE (a budget without a clock). */
TIN_API int32_t tin_vision_step(tin_vision *vision, tin_session *session, uint64_t budget_ns, tin_error *error);

/* Bytes of memory that tin_vision_selftest needs, a session and the encoder among them: far fewer than a whole image
 * takes. 0 on failure: as tin_vision_selftest, but for MEMORY. */
TIN_API size_t tin_vision_selftest_size(const tin_model *model, tin_error *error);

/* Says whether this device keeps the bit contract for this model's vision: reads the small image that the file carries,
 * encodes it, and compares the digest of the logits with that in the file. Any thread may call.
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
