/* The build side of trie.bin (core/constraint/trie.h). */
#ifndef TINI_WRITER_TRIE_H
#define TINI_WRITER_TRIE_H

#include "../core/constraint/trie.h"

typedef struct tini_trie_entry {
    uint64_t key; /* the first eight bytes, so that most comparisons are one */
    uint32_t token, length;
} tini_trie_entry;

/* The tokens that a tree has, in the order of their bytes, then of their ids; how many there are.
 * entries, room: [vocab] each. */
uint32_t tini_trie_sort(const tini_tokenizer *tokenizer, tini_trie_entry *entries, tini_trie_entry *room);

/* trie.bin of `count` sorted entries. Its bytes; out NULL: they are only counted. 0 when the vocabulary makes more
 * nodes than the format can number. */
size_t tini_trie_write(const tini_tokenizer *tokenizer, const tini_trie_entry *entries, uint32_t count,
                       uint8_t *out);

#endif
