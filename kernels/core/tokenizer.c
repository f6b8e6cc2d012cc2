#include "tokenizer.h"
#include "error.h"

#include <string.h>

#define NO_PAIR 0xFFFFFFFFu

/* ---- Opening ------------------------------------------------------------------------------------------- */

/* Order of two byte strings: by the first byte that differs, then a prefix first. */
static int compare_bytes(const uint8_t *a, uint32_t a_length, const uint8_t *b, uint32_t b_length) {
    uint32_t common = a_length < b_length ? a_length : b_length;
    for (uint32_t i = 0; i < common; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return (a_length > b_length) - (a_length < b_length);
}

static tin_status check_tokenizer_header(const tini_tokenizer_header *h, size_t size, tin_error *error) {
    if (size < sizeof *h || h->magic != TINI_TOKENIZER_MAGIC)
        return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin does not begin as one");
    if (h->version != TINI_TOKENIZER_VERSION)
        return tini_fail(error, TIN_ERR_VERSION, "tokenizer.bin has version %u; this runtime reads %u",
                         h->version, TINI_TOKENIZER_VERSION);
    if (h->vocab == 0 || h->vocab > 1u << 22 || h->merges > 1u << 23 || h->slots > 1u << 25 ||
        h->specials > h->vocab || h->text_bytes > 1u << 28)
        return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin has a count out of range");
    if (h->slots < 2 || (h->slots & (h->slots - 1)))
        return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin has %u hash slots, no power of two", h->slots);
    uint64_t want = sizeof *h + 4 * ((uint64_t)h->vocab + 1) + sizeof(tini_merge) * (uint64_t)h->merges +
                    4 * ((uint64_t)h->slots + h->specials + 256) + h->vocab + h->text_bytes;
    if (want != size)
        return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin has %llu bytes; its counts make %llu",
                         (unsigned long long)size, (unsigned long long)want);
    const int32_t ids[4] = {h->bos, h->eos, h->unk, h->pad};
    for (uint32_t i = 0; i < 4; i++)
        if (ids[i] < -1 || ids[i] >= (int32_t)h->vocab)
            return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin names the token %d of %u", ids[i], h->vocab);
    return TIN_OK;
}

static tin_status find_split(tini_tokenizer *view, tin_error *error) {
    char name[sizeof view->header->pretokenizer + 1] = {0};
    memcpy(name, view->header->pretokenizer, sizeof view->header->pretokenizer);
    view->split = tini_split_find(name);
    if (view->split)
        return TIN_OK;
    return tini_fail(error, TIN_ERR_UNSUPPORTED,
                     "tokenizer.bin wants the pre-tokenizer '%s', which this build lacks", name);
}

static tin_status check_tokens(const tini_tokenizer *view, tin_error *error) {
    const tini_tokenizer_header *h = view->header;
    if (view->offsets[0] != 0 || view->offsets[h->vocab] != h->text_bytes)
        return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin: token texts do not fill their part");
    for (uint32_t t = 0; t < h->vocab; t++)
        if (view->offsets[t] > view->offsets[t + 1] || view->kinds[t] > (TINI_TOKEN_UNUSED | TINI_TOKEN_END))
            return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin: token %u is damaged", t);
    for (uint32_t byte = 0; byte < 256; byte++) {
        int32_t id = view->byte_ids[byte];
        uint32_t length;
        const uint8_t *text = tini_token_bytes(view, id, &length);
        int good = id == -1 || (text && length == 1 && *text == byte && !tini_token_is_control(view, id));
        if (!good)
            return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin: byte %u has the wrong token %d", byte, id);
    }
    return TIN_OK;
}

static tin_status check_merges(const tini_tokenizer *view, tin_error *error) {
    const tini_tokenizer_header *h = view->header;
    for (uint32_t m = 0; m < h->merges; m++) {
        const tini_merge *merge = &view->merges[m];
        if (merge->left >= h->vocab || merge->right >= h->vocab || merge->token >= h->vocab ||
            tini_token_is_control(view, (int32_t)merge->token))
            return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin: merge %u is damaged", m);
    }
    uint32_t empty = 0;
    for (uint32_t s = 0; s < h->slots; s++) {
        empty += view->slots[s] == TINI_SLOT_EMPTY;
        if (view->slots[s] != TINI_SLOT_EMPTY && view->slots[s] >= h->merges)
            return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin: hash slot %u is damaged", s);
    }
    if (empty == 0)
        return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin: its hash has no empty slot");
    return TIN_OK;
}

static tin_status check_specials(tini_tokenizer *view, tin_error *error) {
    const uint8_t *last = NULL;
    uint32_t last_length = 0;
    for (uint32_t s = 0; s < view->header->specials; s++) {
        uint32_t length = 0, id = view->specials[s];
        const uint8_t *text = id < view->header->vocab ? tini_token_bytes(view, (int32_t)id, &length) : NULL;
        if (!text || length == 0 || (last && compare_bytes(last, last_length, text, length) >= 0))
            return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin: special token %u is damaged", s);
        view->special_starts[*text >> 5] |= 1u << (*text & 31);
        last = text;
        last_length = length;
    }
    return TIN_OK;
}

tin_status tini_tokenizer_open(tini_tokenizer *view, const uint8_t *data, size_t size, tin_error *error) {
    memset(view, 0, sizeof *view);
    if ((uintptr_t)data % sizeof(uint32_t))
        return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin is not aligned to %u bytes", 4u);
    const tini_tokenizer_header *h = (const void *)data;
    tin_status status = check_tokenizer_header(h, size, error);
    if (status)
        return status;
    const uint8_t *at = data + sizeof *h;
    view->header = h;
    view->bos = h->bos;
    view->eos = h->eos;
    view->unk = h->unk;
    view->pad = h->pad;
    view->offsets = (const void *)at;
    at += 4 * ((size_t)h->vocab + 1);
    view->merges = (const void *)at;
    at += sizeof(tini_merge) * h->merges;
    view->slots = (const void *)at;
    at += 4 * (size_t)h->slots;
    view->specials = (const void *)at;
    at += 4 * (size_t)h->specials;
    view->byte_ids = (const void *)at;
    at += 4 * 256;
    view->kinds = at;
    view->text = at + h->vocab;
    view->slot_shift = 32;
    for (uint32_t slots = h->slots; slots > 1; slots >>= 1)
        view->slot_shift--;
    if ((status = find_split(view, error)) || (status = check_tokens(view, error)) ||
        (status = check_merges(view, error)))
        return status;
    return check_specials(view, error);
}

const uint8_t *tini_token_bytes(const tini_tokenizer *view, int32_t token, uint32_t *length) {
    *length = 0;
    if (token < 0 || (uint32_t)token >= view->header->vocab)
        return NULL;
    *length = view->offsets[token + 1] - view->offsets[token];
    return view->text + view->offsets[token];
}

/* ---- Special tokens ---------------------------------------------------------------------------------------
 */

/* The first of the special tokens [low, high), which agree in their first `depth` bytes, whose byte at `depth`
 * is at least `byte` (a token that ends there comes before all). */
static uint32_t lower_bound(const tini_tokenizer *view, uint32_t low, uint32_t high, uint32_t depth,
                            uint32_t byte) {
    while (low < high) {
        uint32_t middle = low + (high - low) / 2, length;
        const uint8_t *token = tini_token_bytes(view, (int32_t)view->specials[middle], &length);
        if (length <= depth || token[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest special token that text begins with, control tokens only if asked for; -1 when there is none. */
static int32_t match_special(const tini_tokenizer *view, const uint8_t *text, size_t length, int control) {
    int32_t best = -1;
    uint32_t low = 0, high = view->header->specials;
    for (uint32_t depth = 0; depth < length; depth++) {
        low = lower_bound(view, low, high, depth, text[depth]);
        high = lower_bound(view, low, high, depth, text[depth] + 1u);
        if (low == high)
            break;
        uint32_t token_length;
        int32_t token = (int32_t)view->specials[low];
        tini_token_bytes(view, token, &token_length);
        if (token_length == depth + 1 && (control || !tini_token_is_control(view, token)))
            best = token;
    }
    return best;
}

/* The place of the first special token at or after `at`, and which; `length` and -1 when there is none. */
static size_t find_special(const tini_tokenizer *view, const uint8_t *text, size_t at, size_t length,
                           int control, int32_t *token) {
    for (; at < length; at++) {
        if (!(view->special_starts[text[at] >> 5] >> (text[at] & 31) & 1))
            continue;
        *token = match_special(view, text + at, length - at, control);
        if (*token >= 0)
            return at;
    }
    *token = -1;
    return length;
}

/* ---- Merging ----------------------------------------------------------------------------------------------
 */

typedef struct token_sink {
    int32_t *tokens;
    size_t capacity, count;
} token_sink;

static void emit(token_sink *out, int32_t token) {
    if (out->count < out->capacity)
        out->tokens[out->count] = token;
    out->count++;
}

/* The rank of a pair, or NO_PAIR. */
static uint32_t rank_of(const tini_tokenizer *view, uint32_t left, uint32_t right) {
    uint32_t mask = view->header->slots - 1;
    for (uint32_t slot = tini_pair_hash(left, right) >> view->slot_shift;; slot = (slot + 1) & mask) {
        uint32_t merge = view->slots[slot];
        if (merge == TINI_SLOT_EMPTY)
            return NO_PAIR;
        if (view->merges[merge].left == left && view->merges[merge].right == right)
            return merge;
    }
}

/* A piece while it is merged: a list of symbols, each at the place of its first byte, and over the places a
 * tournament of the ranks of the pairs that begin there: rank[1] is the lowest, rank[k] the lower of rank[2k]
 * and rank[2k + 1], rank[leaves + i] that of place i. It gives the leftmost pair of the lowest rank in O(log n)
 * and, unlike a heap, never holds a pair that is gone. */
typedef struct piece {
    const tini_tokenizer *view;
    uint32_t *token, *next, *before; /* [n]; `next` of the last and `before` of the first are NO_PAIR */
    uint32_t *rank;                  /* [2 * leaves] */
    uint32_t leaves;                 /* a power of two >= n */
} piece;

static uint32_t pair_rank(const piece *p, uint32_t i) {
    return p->next[i] == NO_PAIR ? NO_PAIR : rank_of(p->view, p->token[i], p->token[p->next[i]]);
}

static void set_rank(piece *p, uint32_t i, uint32_t rank) {
    uint32_t k = p->leaves + i;
    p->rank[k] = rank;
    while (k > 1) {
        uint32_t a = p->rank[k], b = p->rank[k ^ 1], lower = a < b ? a : b;
        k >>= 1;
        if (p->rank[k] == lower)
            return;
        p->rank[k] = lower;
    }
}

static void merge_at(piece *p, uint32_t i, uint32_t merge) {
    uint32_t gone = p->next[i], after = p->next[gone];
    p->token[i] = p->view->merges[merge].token;
    p->next[i] = after;
    if (after != NO_PAIR)
        p->before[after] = i;
    set_rank(p, gone, NO_PAIR);
    set_rank(p, i, pair_rank(p, i));
    if (p->before[i] != NO_PAIR)
        set_rank(p, p->before[i], pair_rank(p, p->before[i]));
}

static void merge_all(piece *p) {
    uint32_t merge;
    while ((merge = p->rank[1]) != NO_PAIR) {
        uint32_t k = 1;
        while (k < p->leaves)
            k = 2 * k + (p->rank[2 * k] != merge);
        merge_at(p, k - p->leaves, merge);
    }
}

static uint32_t leaves_for(size_t symbols) {
    uint32_t leaves = 1;
    while (leaves < symbols)
        leaves *= 2;
    return leaves;
}

static void encode_piece(const tini_tokenizer *view, const uint8_t *text, size_t length, token_sink *out,
                         uint32_t *scratch) {
    piece p = {.view = view, .token = scratch, .next = scratch + length, .before = scratch + 2 * length};
    p.rank = scratch + 3 * length;
    uint32_t n = 0;
    for (size_t i = 0; i < length; i++)
        if (view->byte_ids[text[i]] >= 0)
            p.token[n++] = (uint32_t)view->byte_ids[text[i]];
    if (n == 0)
        return;
    p.leaves = leaves_for(n);
    for (uint32_t i = 0; i < n; i++) {
        p.before[i] = i == 0 ? NO_PAIR : i - 1;
        p.next[i] = i + 1 == n ? NO_PAIR : i + 1;
        p.rank[p.leaves + i] = pair_rank(&p, i);
    }
    for (uint32_t i = n; i < p.leaves; i++)
        p.rank[p.leaves + i] = NO_PAIR;
    for (uint32_t k = p.leaves - 1; k > 0; k--)
        p.rank[k] = p.rank[2 * k] < p.rank[2 * k + 1] ? p.rank[2 * k] : p.rank[2 * k + 1];
    merge_all(&p);
    for (uint32_t i = 0; i != NO_PAIR; i = p.next[i])
        emit(out, (int32_t)p.token[i]);
}

size_t tini_tokenize_scratch(size_t length) {
    if (length > TINI_TEXT_MAX)
        length = TINI_TEXT_MAX; /* longer texts are refused */
    return sizeof(uint32_t) * (3 * length + 2 * (size_t)leaves_for(length));
}

int64_t tini_tokenize(const tini_tokenizer *view, const char *text, size_t length, uint32_t flags,
                      int32_t *tokens, size_t capacity, void *scratch, size_t scratch_size) {
    if (length > TINI_TEXT_MAX)
        return TIN_ERR_ARGUMENT;
    if (!scratch || scratch_size < tini_tokenize_scratch(length) || (uintptr_t)scratch % sizeof(uint32_t))
        return TIN_ERR_MEMORY;
    const uint8_t *bytes = (const uint8_t *)text;
    token_sink out = {tokens, capacity, 0};
    if ((flags & TIN_TEXT_BOS) && (view->header->flags & TINI_TOKENIZER_ADD_BOS) && view->bos >= 0)
        emit(&out, view->bos);
    for (size_t at = 0; at < length;) {
        int32_t special;
        size_t end = find_special(view, bytes, at, length, (flags & TIN_TEXT_SPECIAL) != 0, &special);
        while (at < end) {
            size_t taken = view->split(bytes + at, end - at);
            encode_piece(view, bytes + at, taken, &out, scratch);
            at += taken;
        }
        if (special >= 0) {
            uint32_t special_length;
            emit(&out, special);
            tini_token_bytes(view, special, &special_length);
            at += special_length;
        }
    }
    return (int64_t)out.count;
}
