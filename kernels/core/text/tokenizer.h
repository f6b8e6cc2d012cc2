/* Byte-pair encoding and unigram tokenizers over a tokenizer.bin, read in place.
 *
 * tokenizer.bin, little-endian, its parts one after the other without gaps, written by tokenizer/packed.py and
 * writer/vocabulary.c:
 *
 *   header       tini_tokenizer_header (80 bytes)
 *   scores       double[vocab + 1]     unigram only: log probabilities; the last is that of an unknown character
 *   offsets      uint32[vocab + 1]     token t is text[offsets[t] .. offsets[t + 1])
 *   merges       tini_merge[merges]    ascending by rank
 *   merge_slots  uint32[merge_slots]   hash of pairs (tini_pair_hash) to the number of a merge
 *   text_slots   uint32[text_slots]    hash of texts (tini_text_hash) to a normal token
 *   specials     tini_special[specials]  tokens matched in text before anything else, ascending by their bytes
 *   byte_ids     int32[256]            the token of each byte, or -1
 *   joints       uint8[8192]           character models only: bit 256 a + b is set where a merge may join a symbol that
 *                                      ends with byte a to one that begins with byte b
 *   kinds        uint8[vocab]          TINI_TOKEN_* | TINI_TOKEN_END | TINI_TOKEN_WHOLE
 *   text         uint8[text_bytes]     raw bytes: the byte-level alphabet is decoded, SentencePiece's U+2581 is a space,
 *                                      the token <0x0A> is that byte; then what specials are written as, where that is
 *                                      not their text
 *
 * A hash has a power of two of slots, about half of them used at most; a search starts at hash >> (32 - log2 slots) and
 * continues slot by slot, round the end, to one that is TINI_SLOT_EMPTY; any TINI_SLOT_RUN slots have one. The low 22 bits
 * of a slot are the number, the high ten are the low ten of the hash.
 */
#ifndef TINI_TOKENIZER_H
#define TINI_TOKENIZER_H

#include "../../include/tin.h"
#include "pretokenizer.h"

#define TINI_TOKENIZER_MAGIC 0x4B4F5454u /* "TTOK" */
#define TINI_TOKENIZER_VERSION 2u
#define TINI_SLOT_EMPTY 0xFFFFFFFFu
#define TINI_SLOT_NUMBER 0x3FFFFFu
#define TINI_TEXT_MAX (1u << 26) /* bytes of text in one call */
#define TINI_MERGE_PAIR_BYTES 8192u
/* What keeps the steps for a byte of text below a bound, whoever made the file. Of some 500,000 numbers that fall as chance
 * has it, half of the slots used, the longest run has about 70; Gemma 3's has 50. Gemma 3's longest special token has 93
 * bytes. At each place of a text a unigram model is asked for tokens of every length; SentencePiece makes them of at most
 * 16 characters unless told otherwise. */
#define TINI_SLOT_RUN 256u
#define TINI_SPECIAL_LONGEST 1024u
#define TINI_UNIGRAM_LONGEST 256u

enum {
    TINI_TOKEN_NORMAL,
    TINI_TOKEN_CONTROL,
    TINI_TOKEN_USER,
    TINI_TOKEN_UNUSED,
    TINI_TOKEN_END = 4,  /* ends a generation */
    TINI_TOKEN_WHOLE = 8 /* a piece of just this text is this token */
};

/* Symbols to begin with: bytes, or characters; or no symbols, but scores. */
enum { TINI_MODEL_BYTES, TINI_MODEL_CHARACTERS, TINI_MODEL_UNIGRAM, TINI_MODELS };

enum {
    TINI_TOKENIZER_ADD_BOS = 1,
    TINI_TOKENIZER_ADD_EOS = 2,
    TINI_TOKENIZER_NFC = 4,
    TINI_TOKENIZER_SPACES = 8,         /* U+2581 in text is a space */
    TINI_TOKENIZER_PREPEND = 16,       /* a space before every text between specials, */
    TINI_TOKENIZER_PREFIX = 32,        /* or before those that do not begin with one, */
    TINI_TOKENIZER_PREFIX_FIRST = 64,  /* or, of those, only before the first */
    TINI_TOKENIZER_SPLIT_SPACES = 128, /* a space begins a piece */
    TINI_TOKENIZER_UNK = 256,          /* characters without a token are the unknown one, */
    TINI_TOKENIZER_FUSE_UNK = 512,     /* neighbours together */
    TINI_TOKENIZER_FLAGS = 1023
};

/* Beside TIN_TEXT_*. INNER: the text is not the beginning of one. JOINED: it continues the text before it. */
#define TINI_TEXT_INNER 0x40000000u
#define TINI_TEXT_JOINED 0x80000000u

typedef struct tini_tokenizer_header {
    uint32_t magic, version;
    uint32_t model, flags; /* TINI_MODEL_*, TINI_TOKENIZER_* */
    uint32_t vocab, merges, merge_slots, text_slots, specials, text_bytes;
    int32_t bos, eos, unk, pad; /* token ids, or -1 */
    uint32_t longest; /* bytes of the longest token that text_slots have: no longer text is looked for */
    uint32_t zero;
    char pretokenizer[16]; /* of a byte-level model: a name of pretokenizer.c, NUL-padded */
} tini_tokenizer_header;

typedef struct tini_merge {
    uint32_t left, right, token;
    uint32_t rank; /* lower first; of equal ones the leftmost */
} tini_merge;

enum { TINI_SPECIAL_LSTRIP = 1, TINI_SPECIAL_RSTRIP = 2, TINI_SPECIAL_NORMALIZED = 4 };

/* A token written text[offset .. offset + length); it takes the white space before or behind it where so flagged. */
typedef struct tini_special {
    uint32_t token, offset, length, flags;
} tini_special;

/* A checked view; `data` must stay readable and unchanged as long as it is used. Any number of threads may use
 * one. */
typedef struct tini_tokenizer {
    const tini_tokenizer_header *header;
    const uint8_t *scores;
    const uint32_t *offsets;
    const tini_merge *merges;
    const uint32_t *merge_slots, *text_slots;
    const tini_special *specials;
    const int32_t *byte_ids;
    const uint8_t *merge_pairs; /* NULL but in a character model */
    const uint8_t *kinds;
    const uint8_t *text;
    tini_split_fn *split;       /* NULL but in a byte-level model */
    int32_t bos, eos, unk, pad; /* token ids, or -1 */
    uint32_t merge_shift, text_shift;
    uint32_t special_starts[2]
                           [8]; /* one bit a byte: does one begin with it? Those of raw, of normalized text. */
    uint32_t normalized;        /* specials of normalized text */
} tini_tokenizer;

static inline uint32_t tini_pair_hash(uint32_t left, uint32_t right) {
    uint32_t h = left * 0x9E3779B1u + right * 0x85EBCA77u;
    return (h ^ h >> 15) * 0x2C1B3C6Du;
}

/* Of a text, byte by byte from TINI_TEXT_HASH on; then tini_text_hash. */
#define TINI_TEXT_HASH 0x811C9DC5u

static inline uint32_t tini_text_hash_byte(uint32_t hash, uint8_t byte) {
    return (hash ^ byte) * 0x01000193u;
}

static inline uint32_t tini_text_hash(uint32_t hash) {
    return (hash ^ hash >> 15) * 0x2C1B3C6Du;
}

/* Checks every count, offset, id and slot of data[size] (aligned to 4 bytes) and fills the view; nothing is
 * checked later. Errors: FORMAT, VERSION, UNSUPPORTED (pre-tokenizer). */
tin_status tini_tokenizer_open(tini_tokenizer *view, const uint8_t *data, size_t size, tin_error *error);

/* A model's. What a tin_model is made of is known to seal/model.c, which has this function, and above. */
const tini_tokenizer *tini_model_tokenizer(const tin_model *model);

/* The bytes of a token, in place, not NUL-terminated; NULL for an id out of range. May end inside a character.
 */
const uint8_t *tini_token_bytes(const tini_tokenizer *view, int32_t token, uint32_t *length);

/* Of an id in range: is it a control token (no text)? Does it end a generation? */
static inline int tini_token_is_control(const tini_tokenizer *view, int32_t token) {
    return (view->kinds[token] & 3) == TINI_TOKEN_CONTROL;
}

static inline int tini_token_is_end(const tini_tokenizer *view, int32_t token) {
    return (view->kinds[token] & TINI_TOKEN_END) != 0;
}

/* The kind by itself. */
static inline uint32_t tini_token_kind(const tini_tokenizer *view, uint32_t token) {
    return view->kinds[token] & (3u | TINI_TOKEN_END);
}

#endif
