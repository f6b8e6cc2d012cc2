#include "bpe.h"
#include "../base/utf8.h"

#include <string.h>

#define NO_PAIR 0xFFFFFFFFu

/* Up to this many symbols a search from left to right is faster than a tree. */
enum { FEW = 32 };

/* The merge of a pair; NULL when there is none. */
static inline const tini_merge *find_merge(const tini_tokenizer *view, uint32_t left, uint32_t right) {
    uint32_t hash = tini_pair_hash(left, right), mask = view->header->merge_slots - 1;
    for (uint32_t slot = hash >> view->merge_shift;; slot = (slot + 1) & mask) {
        uint32_t entry = view->merge_slots[slot];
        if (entry == TINI_SLOT_EMPTY)
            return NULL;
        if ((entry ^ hash << 22) >> 22)
            continue;
        const tini_merge *merge = &view->merges[entry & TINI_SLOT_NUMBER];
        if (merge->left == left && merge->right == right)
            return merge;
    }
}

static inline uint32_t rank_of(const tini_merge *merge) {
    return merge ? merge->rank : NO_PAIR;
}

/* ---- Symbols ------------------------------------------------------------------------------------------------- */

/* A symbol without a token: what it is written as is put when the tokens are. Numbers of tokens are below it. */
#define UNKNOWN 0x80000000u

/* The symbols that a piece begins with, at most one a byte; how many. An unknown character is UNKNOWN with its bytes'
 * place in the low bits. */
static uint32_t read_symbols(const tini_tokenizer *view, const uint8_t *text, size_t length,
                             uint32_t *symbols) {
    uint32_t count = 0;
    if (view->header->model == TINI_MODEL_BYTES) {
        for (size_t i = 0; i < length; i++)
            if (view->byte_ids[text[i]] >= 0)
                symbols[count++] = (uint32_t)view->byte_ids[text[i]];
        return count;
    }
    for (size_t at = 0; at < length;) {
        uint32_t code, bytes = tini_utf8_read(text + at, length - at, &code), hash = TINI_TEXT_HASH;
        for (uint32_t k = 0; k < bytes; k++)
            hash = tini_text_hash_byte(hash, text[at + k]);
        int32_t token = tini_text_token(view, text + at, bytes, hash);
        symbols[count++] = token >= 0 ? (uint32_t)token : UNKNOWN | (uint32_t)at;
        at += bytes;
    }
    return count;
}

static void put_symbol(const tini_tokenizer *view, const uint8_t *text, size_t length, uint32_t symbol,
                       tini_token_sink *out) {
    if (!(symbol & UNKNOWN)) {
        tini_put(out, (int32_t)symbol);
        return;
    }
    size_t at = symbol & ~UNKNOWN;
    uint32_t code;
    tini_put_unknown(view, text + at, tini_utf8_read(text + at, length - at, &code), out);
}

/* ---- Short pieces -------------------------------------------------------------------------------------------- */

static void merge_few(const tini_tokenizer *view, uint32_t *symbols, uint32_t *count) {
    const tini_merge *merges[FEW]; /* of each symbol with the next */
    uint32_t n = *count;
    for (uint32_t i = 0; i + 1 < n; i++)
        merges[i] = find_merge(view, symbols[i], symbols[i + 1]);
    for (;;) {
        uint32_t best = NO_PAIR, at = 0;
        for (uint32_t i = 0; i + 1 < n; i++)
            if (rank_of(merges[i]) < best) {
                best = merges[i]->rank;
                at = i;
            }
        if (best == NO_PAIR)
            break;
        symbols[at] = merges[at]->token;
        n--;
        for (uint32_t i = at + 1; i < n; i++) {
            symbols[i] = symbols[i + 1];
            merges[i - 1] = merges[i];
        }
        if (at)
            merges[at - 1] = find_merge(view, symbols[at - 1], symbols[at]);
        if (at + 1 < n)
            merges[at] = find_merge(view, symbols[at], symbols[at + 1]);
    }
    *count = n;
}

/* ---- Long pieces --------------------------------------------------------------------------------------------- */

/* A piece while it is merged: a list of symbols, each at the place of its first one, and over the places a
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
    return p->next[i] == NO_PAIR ? NO_PAIR : rank_of(find_merge(p->view, p->token[i], p->token[p->next[i]]));
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

static void merge_at(piece *p, uint32_t i) {
    uint32_t absorbed = p->next[i], after = p->next[absorbed];
    p->token[i] = find_merge(p->view, p->token[i], p->token[absorbed])->token;
    p->next[i] = after;
    if (after != NO_PAIR)
        p->before[after] = i;
    set_rank(p, absorbed, NO_PAIR);
    set_rank(p, i, pair_rank(p, i));
    if (p->before[i] != NO_PAIR)
        set_rank(p, p->before[i], pair_rank(p, p->before[i]));
}

static uint32_t leaves_for(uint64_t symbols) {
    uint32_t leaves = 1;
    while (leaves < symbols)
        leaves *= 2;
    return leaves;
}

/* Merges the n symbols at words, in place: words[tini_piece_words(n)]. */
static void merge_many(const tini_tokenizer *view, uint32_t *words, uint32_t *count) {
    uint32_t n = *count, best;
    piece p = {.view = view, .token = words, .next = words + n, .before = words + 2 * (size_t)n};
    p.rank = words + 3 * (size_t)n;
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
    while ((best = p.rank[1]) != NO_PAIR) {
        uint32_t k = 1;
        while (k < p.leaves)
            k = 2 * k + (p.rank[2 * k] != best);
        merge_at(&p, k - p.leaves);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i != NO_PAIR; i = p.next[i])
        p.token[kept++] = p.token[i]; /* kept <= i */
    *count = kept;
}

uint64_t tini_piece_words(const tini_tokenizer *view, uint64_t length) {
    if (view->header->model == TINI_MODEL_UNIGRAM)
        return 4 * (length + 1);
    return 3 * length + 2 * (uint64_t)leaves_for(length);
}

void tini_bpe_piece(const tini_tokenizer *view, const uint8_t *text, size_t length, tini_token_sink *out,
                    uint32_t *words) {
    uint32_t few[FEW], *symbols = length <= FEW ? few : words, count;
    count = read_symbols(view, text, length, symbols);
    if (count > FEW)
        merge_many(view, symbols, &count);
    else if (count > 1)
        merge_few(view, symbols, &count);
    for (uint32_t i = 0; i < count; i++)
        put_symbol(view, text, length, symbols[i], out);
}
