/* Byte-level BPE over a tokenizer.bin, used where it lies in memory.
 *
 * tokenizer.bin, little-endian, its parts one after the other without gaps, written by compiler/tokenizer.py:
 *
 *   header     tini_tokenizer_header (64 bytes)
 *   offsets    uint32[vocab + 1]     token t is text[offsets[t] .. offsets[t + 1])
 *   merges     tini_merge[merges]    in order of rank, the first merged first
 *   slots      uint32[slots]         hash of pairs: the number of a merge, or TINI_SLOT_EMPTY; slots is a power
 * of two > merges; the search starts at tini_pair_hash >> (32 - log2 slots) and goes on slot by slot, round the
 * end, to an empty one specials   uint32[specials]      tokens matched in text before anything else, ascending
 * by their bytes byte_ids   int32[256]            the token of each byte, or -1 kinds      uint8[vocab]
 * TINI_TOKEN_* | TINI_TOKEN_END text       uint8[text_bytes]     raw bytes: the byte-level alphabet is decoded
 *
 * The encoding is that of Hugging Face's `tokenizers`: special tokens are cut out first (leftmost, then
 * longest), the rest is cut by the pre-tokenizer, and in each piece the leftmost pair of lowest rank is merged
 * until none is left. A byte that has no token (a vocabulary may lack some that text never has) is left out.
 */
#ifndef TINI_TOKENIZER_H
#define TINI_TOKENIZER_H

#include "../include/tin.h"
#include "pretokenizer.h"

#define TINI_TOKENIZER_MAGIC 0x4B4F5454u /* "TTOK" */
#define TINI_TOKENIZER_VERSION 1u
#define TINI_SLOT_EMPTY 0xFFFFFFFFu
#define TINI_TEXT_MAX (1u << 26) /* bytes of text in one call */

enum { TINI_TOKEN_NORMAL, TINI_TOKEN_CONTROL, TINI_TOKEN_USER, TINI_TOKEN_UNUSED, TINI_TOKEN_END = 4 };
enum { TINI_TOKENIZER_ADD_BOS = 1, TINI_TOKENIZER_ADD_EOS = 2 };

typedef struct tini_tokenizer_header {
    uint32_t magic, version;
    uint32_t vocab, merges, slots, specials, text_bytes;
    uint32_t flags;             /* TINI_TOKENIZER_* */
    int32_t bos, eos, unk, pad; /* token ids, or -1 */
    char pretokenizer[16];      /* GGUF's name, NUL-padded */
} tini_tokenizer_header;

typedef struct tini_merge {
    uint32_t left, right, token;
} tini_merge;

/* A checked view; `data` must stay readable and unchanged as long as it is used. Any number of threads may use
 * one. */
typedef struct tini_tokenizer {
    const tini_tokenizer_header *header;
    const uint32_t *offsets;
    const tini_merge *merges;
    const uint32_t *slots;
    const uint32_t *specials;
    const int32_t *byte_ids;
    const uint8_t *kinds;
    const uint8_t *text;
    tini_split_fn *split;
    int32_t bos, eos, unk, pad; /* token ids, or -1 */
    uint32_t slot_shift;
    uint32_t special_starts[8]; /* one bit a byte: does a special token begin with it? */
} tini_tokenizer;

static inline uint32_t tini_pair_hash(uint32_t left, uint32_t right) {
    uint32_t h = left * 0x9E3779B1u + right * 0x85EBCA77u;
    return (h ^ h >> 15) * 0x2C1B3C6Du;
}

/* Checks every count, offset, id and slot of data[size] (aligned to 4 bytes) and fills the view; nothing is
 * checked later. Errors: FORMAT, VERSION, UNSUPPORTED (pre-tokenizer). */
tin_status tini_tokenizer_open(tini_tokenizer *view, const uint8_t *data, size_t size, tin_error *error);

/* Bytes of scratch that tini_tokenize needs for `length` bytes of text, at most TINI_TEXT_MAX. */
size_t tini_tokenize_scratch(size_t length);

/* Text to token ids in O(length log length). Returns how many there are, also when that is more than `capacity`
 * (only the first `capacity` are written); ARGUMENT for text over TINI_TEXT_MAX; MEMORY for scratch too small
 * or not aligned to 4 bytes. flags: TIN_TEXT_SPECIAL takes control tokens that stand in the text as such (user
 * tokens always are); without it no text makes a control token. TIN_TEXT_BOS puts the bos token first, if the
 * file says that texts begin with one. */
int64_t tini_tokenize(const tini_tokenizer *view, const char *text, size_t length, uint32_t flags,
                      int32_t *tokens, size_t capacity, void *scratch, size_t scratch_size);

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

#endif
