#include "trie.h"

#include <string.h>

static int before(const tini_tokenizer *tokenizer, const tini_trie_entry *a, const tini_trie_entry *b) {
    if (a->key != b->key)
        return a->key < b->key;
    uint8_t room[2][4];
    uint32_t length, shorter = a->length < b->length ? a->length : b->length;
    const uint8_t *left = tini_trie_bytes(tokenizer, a->token, room[0], &length);
    const uint8_t *right = tini_trie_bytes(tokenizer, b->token, room[1], &length);
    int order = memcmp(left, right, shorter);
    if (order)
        return order < 0;
    return a->length != b->length ? a->length < b->length : a->token < b->token;
}

/* Merges two neighbouring sorted runs, [first, middle) and [middle, end). */
static void merge_runs(const tini_tokenizer *tokenizer, const tini_trie_entry *from, tini_trie_entry *to,
                       uint32_t first, uint32_t middle, uint32_t end) {
    uint32_t a = first, b = middle;
    for (uint32_t k = first; k < end; k++) {
        int left = a < middle && (b == end || !before(tokenizer, &from[b], &from[a]));
        to[k] = from[left ? a++ : b++];
    }
}

uint32_t tini_trie_sort(const tini_tokenizer *tokenizer, tini_trie_entry *entries, tini_trie_entry *room) {
    uint32_t count = 0;
    for (uint32_t token = 0; token < tokenizer->header->vocab; token++) {
        uint8_t four[4];
        tini_trie_entry entry = {.token = token};
        const uint8_t *bytes = tini_trie_bytes(tokenizer, token, four, &entry.length);
        for (uint32_t k = 0; bytes && k < 8; k++)
            entry.key = entry.key << 8 | (k < entry.length ? bytes[k] : 0);
        if (bytes)
            entries[count++] = entry;
    }
    tini_trie_entry *from = entries, *to = room;
    for (uint32_t run = 1; run < count; run *= 2) {
        for (uint32_t first = 0; first < count; first += 2 * run) {
            uint32_t middle = count - first < run ? count : first + run;
            merge_runs(tokenizer, from, to, first, middle, count - middle < run ? count : middle + run);
        }
        tini_trie_entry *swap = from;
        from = to;
        to = swap;
    }
    if (from != entries)
        memcpy(entries, from, count * sizeof *entries);
    return count;
}

/* The tree while it is written. */
typedef struct growth {
    tini_trie_node *nodes; /* NULL: only counted */
    uint32_t *first;       /* as the nodes */
    uint32_t count, depth, byte;
    uint32_t open[TINI_TRIE_LONGEST + 1]; /* the nodes that lead to the last token, by depth */
    uint8_t path[TINI_TRIE_LONGEST + 1];
} growth;

/* Ends the subtrees below `depth`. */
static void close_to(growth *g, uint32_t depth) {
    for (; g->depth > depth; g->depth--)
        if (g->nodes)
            g->nodes[g->open[g->depth]].byte_size |= (g->count - g->open[g->depth]) << 8;
}

/* The nodes of the bytes up to this one begin here. */
static void start_byte(growth *g, uint32_t byte) {
    for (; g->byte <= byte; g->byte++)
        if (g->first)
            g->first[g->byte] = g->count;
}

static void grow(growth *g, const uint8_t *bytes, uint32_t length, uint32_t token) {
    uint32_t common = 0;
    while (common < g->depth && common < length && g->path[common] == bytes[common])
        common++;
    close_to(g, common);
    if (!common)
        start_byte(g, bytes[0]);
    while (g->depth < length) {
        g->path[g->depth] = bytes[g->depth];
        if (g->nodes)
            g->nodes[g->count] = (tini_trie_node){bytes[g->depth], (g->depth + 1) | TINI_TRIE_NO_TOKEN << 8};
        g->open[++g->depth] = g->count++;
    }
    if (g->nodes)
        g->nodes[g->open[length]].depth_token = length | token << 8;
}

static int alike(const tini_tokenizer *tokenizer, const tini_trie_entry *a, const tini_trie_entry *b) {
    uint8_t room[2][4];
    uint32_t length;
    return a->key == b->key && a->length == b->length &&
           !memcmp(tini_trie_bytes(tokenizer, a->token, room[0], &length),
                   tini_trie_bytes(tokenizer, b->token, room[1], &length), a->length);
}

static void find_kinds(growth *g, uint8_t *kinds) {
    for (uint32_t k = 0; k < g->count; k++) {
        uint32_t depth = tini_trie_depth(g->nodes[k]);
        g->open[depth] = k;
        kinds[k] = 0;
        for (uint32_t d = 1; d <= depth; d++)
            kinds[g->open[d]] |= tini_byte_kind(tini_trie_byte(g->nodes[k]));
    }
}

size_t tini_trie_write(const tini_tokenizer *tokenizer, const tini_trie_entry *entries, uint32_t count,
                       uint8_t *out) {
    tini_trie_header header = {.magic = TINI_TRIE_MAGIC, .version = TINI_TRIE_VERSION};
    header.vocab = tokenizer->header->vocab;
    growth g = {.first = NULL};
    if (out) {
        g.first = (void *)(out + sizeof header);
        g.nodes = (void *)(g.first + 257);
    }
    for (uint32_t k = 0; k < count; k++) {
        if (k && alike(tokenizer, &entries[k - 1], &entries[k])) {
            header.aliases++;
            continue;
        }
        uint8_t room[4];
        uint32_t length;
        const uint8_t *bytes = tini_trie_bytes(tokenizer, entries[k].token, room, &length);
        grow(&g, bytes, length, entries[k].token);
        header.longest = length > header.longest ? length : header.longest;
        if (g.count > TINI_TRIE_MAX_NODES)
            return 0;
    }
    close_to(&g, 0);
    start_byte(&g, 256);
    header.nodes = g.count;
    if (out) {
        memcpy(out, &header, sizeof header);
        tini_trie_alias *alias = (void *)(g.nodes + g.count);
        uint32_t same = 0;
        for (uint32_t k = 0; k < count; k++)
            if (k && alike(tokenizer, &entries[k - 1], &entries[k]))
                *alias++ = (tini_trie_alias){entries[k].token, same};
            else
                same = entries[k].token;
        find_kinds(&g, (uint8_t *)alias);
    }
    return sizeof header + 257 * sizeof(uint32_t) + g.count * (sizeof *g.nodes + 1) +
           header.aliases * sizeof(tini_trie_alias);
}
