/* trie_check FILE.tin: checks the file's tree of tokens with what checks it compiled here, under sanitizers. */
#define tini_trie_bytes checked_bytes
#define tini_trie_open checked_open
#define tini_trie_check checked_check
#include "core/constraint/trie.c"
#include "core/seal/model.h"

#include <stdio.h>
#include <stdlib.h>

static void *aligned(size_t size) {
    void *memory = NULL;
    if (posix_memalign(&memory, TIN_ALIGNMENT, size))
        exit(2);
    return memory;
}

int main(int count, char **words) {
    FILE *file = count == 2 ? fopen(words[1], "rb") : NULL;
    if (!file || fseek(file, 0, SEEK_END))
        return 2;
    size_t size = (size_t)ftell(file), needed, length;
    rewind(file);
    void *data = aligned(size), *memory;
    tin_model *model;
    const void *entry;
    tini_trie trie;
    if (fread(data, 1, size, file) != size)
        return 2;
    fclose(file);
    needed = tin_model_size(data, size, NULL);
    memory = aligned(needed);
    if (tin_model_create(data, size, NULL, memory, needed, &model, NULL) ||
        tin_model_entry(model, "trie.bin", &entry, &length) || checked_open(&trie, entry, length, NULL) ||
        checked_check(&trie, tini_model_tokenizer(model), NULL))
        return 1;
    printf("%u\n", trie.header->longest);
    free(memory);
    free(data);
    return 0;
}
