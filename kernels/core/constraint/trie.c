#include "trie.h"
#include "../base/error.h"
#include "../base/region.h"

#include <string.h>

TINI_REGION_COLD

const uint8_t *tini_trie_bytes(const tini_tokenizer *tokenizer, uint32_t token, uint8_t room[4],
                               uint32_t *length) {
    const uint8_t *text = tini_token_bytes(tokenizer, (int32_t)token, length);
    uint32_t kind = tini_token_kind(tokenizer, token);
    if (kind == TINI_TOKEN_CONTROL) {
        room[0] = 0xFF;
        room[1] = (uint8_t)(token >> 16);
        room[2] = (uint8_t)(token >> 8);
        room[3] = (uint8_t)token;
        *length = 4;
        return room;
    }
    if (kind != TINI_TOKEN_NORMAL && kind != TINI_TOKEN_USER)
        return NULL;
    if (*length == 0 || *length > TINI_TRIE_LONGEST)
        return NULL;
    for (uint32_t k = 0; k < *length; k++)
        if (text[k] == 0xFF)
            return NULL;
    return text;
}

/* Whether a token has the bytes of a path, where 0xFF can only be the first. */
static int same_token(const tini_tokenizer *tokenizer, uint32_t token, const uint8_t *path, uint32_t length) {
    if (token >= tokenizer->header->vocab)
        return 0;
    uint32_t kind = tini_token_kind(tokenizer, token), at = tokenizer->offsets[token];
    if (*path == 0xFF)
        return kind == TINI_TOKEN_CONTROL && length == 4 &&
               token == ((uint32_t)path[1] << 16 | (uint32_t)path[2] << 8 | path[3]);
    return (kind == TINI_TOKEN_NORMAL || kind == TINI_TOKEN_USER) &&
           tokenizer->offsets[token + 1] - at == length && !memcmp(tokenizer->text + at, path, length);
}

/* Every node lies where its depth says, and its token has the bytes that lead to it. */
static tin_status check_nodes(const tini_trie *view, const tini_tokenizer *tokenizer, tin_error *error) {
    uint8_t path[TINI_TRIE_LONGEST + 1];
    uint32_t ends[TINI_TRIE_LONGEST + 1]; /* of the subtrees that the node lies in, by depth */
    uint8_t kinds[TINI_TRIE_LONGEST + 1] = {255}, kind_of[256];
    uint32_t count = view->header->nodes, depth = 0, longest = 0;
    ends[0] = count;
    for (uint32_t byte = 0; byte < 256; byte++)
        kind_of[byte] = tini_byte_kind(byte);
    for (uint32_t i = 0; i < count; i++) {
        tini_trie_node node = view->nodes[i];
        uint32_t size = tini_trie_size(node), token = tini_trie_token(node);
        while (depth && i == ends[depth])
            depth--;
        int good = size && size <= ends[depth] - i && tini_trie_depth(node) == depth + 1;
        uint8_t kind = view->kinds[i];
        uint32_t byte = tini_trie_byte(node);
        good = good && !(kind & ~kinds[depth]) && (kind & kind_of[byte]);
        good = good && (byte != 0xFF || !depth || path[0] == 0xFF);
        if (good) {
            path[depth++] = (uint8_t)byte;
            ends[depth] = i + size;
            kinds[depth] = kind;
            longest = depth > longest ? depth : longest;
            good = token == TINI_TRIE_NO_TOKEN ? size > 1 : same_token(tokenizer, token, path, depth);
        }
        if (!good)
            return tini_fail(error, TIN_ERR_FORMAT, "trie.bin: node %u is damaged", i);
    }
    return longest == view->header->longest
               ? TIN_OK
               : tini_fail(error, TIN_ERR_FORMAT, "trie.bin: its longest token has %u bytes, not %u", longest,
                           view->header->longest);
}

static tin_status check_first(const tini_trie *view, tin_error *error) {
    uint32_t at = 0;
    for (uint32_t byte = 0; byte < 256; byte++) {
        if (view->first[byte] != at)
            return tini_fail(error, TIN_ERR_FORMAT, "trie.bin: byte %u is damaged", byte);
        if (at < view->header->nodes && tini_trie_byte(view->nodes[at]) == byte)
            at += tini_trie_size(view->nodes[at]);
    }
    return at == view->first[256] && at == view->header->nodes
               ? TIN_OK
               : tini_fail(error, TIN_ERR_FORMAT, "trie.bin: its bytes do not lead to all nodes");
}

static tin_status check_aliases(const tini_trie *view, const tini_tokenizer *tokenizer, tin_error *error) {
    for (uint32_t k = 0; k < view->header->aliases; k++) {
        tini_trie_alias alias = view->aliases[k];
        uint8_t room[2][4];
        uint32_t length, same_length, vocab = view->header->vocab;
        int known = alias.token < vocab && alias.same < vocab;
        const uint8_t *bytes = known ? tini_trie_bytes(tokenizer, alias.token, room[0], &length) : NULL;
        const uint8_t *same = known ? tini_trie_bytes(tokenizer, alias.same, room[1], &same_length) : NULL;
        if (!bytes || !same || length != same_length || memcmp(bytes, same, length))
            return tini_fail(error, TIN_ERR_FORMAT, "trie.bin: alias %u is damaged", k);
    }
    return TIN_OK;
}

tin_status tini_trie_open(tini_trie *view, const uint8_t *data, size_t size, tin_error *error) {
    *view = (tini_trie){0};
    const tini_trie_header *h = (const void *)data;
    if ((uintptr_t)data % sizeof(uint32_t) || size < sizeof *h || h->magic != TINI_TRIE_MAGIC)
        return tini_fail(error, TIN_ERR_FORMAT, "trie.bin does not begin as one");
    if (h->version != TINI_TRIE_VERSION)
        return tini_other_version(error, "trie.bin", h->version, TINI_TRIE_VERSION, TINI_BUILD_AGAIN);
    uint64_t want = sizeof *h + 257 * sizeof(uint32_t) + (sizeof(tini_trie_node) + 1) * (uint64_t)h->nodes +
                    sizeof(tini_trie_alias) * (uint64_t)h->aliases;
    if (want != size || h->nodes > TINI_TRIE_MAX_NODES)
        return tini_fail(error, TIN_ERR_FORMAT, "trie.bin has %llu bytes; its counts make %llu",
                         (unsigned long long)size, (unsigned long long)want);
    view->header = h;
    view->first = (const void *)(data + sizeof *h);
    view->nodes = (const void *)(view->first + 257);
    view->aliases = (const void *)(view->nodes + h->nodes);
    view->kinds = (const void *)(view->aliases + h->aliases);
    return TIN_OK;
}

tin_status tini_trie_check(const tini_trie *view, const tini_tokenizer *tokenizer, tin_error *error) {
    tin_status status = check_nodes(view, tokenizer, error);
    if (!status)
        status = check_first(view, error);
    return status ? status : check_aliases(view, tokenizer, error);
}

TINI_REGION_END
