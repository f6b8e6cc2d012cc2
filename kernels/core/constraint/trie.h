/* The vocabulary as a tree of bytes, used where it lies in memory: what a constraint's masks are walked over.
 *
 * trie.bin, little-endian, its parts one after the other without gaps, written by writer/trie.c:
 *
 *   header    tini_trie_header (32 bytes)
 *   first     uint32[257]                the nodes of the tokens that begin with byte b are first[b] .. first[b + 1)
 *   nodes     tini_trie_node[nodes]      in preorder, the children of a node ascending by their byte; the root, which
 *                                        has no byte, is left out
 *   aliases   tini_trie_alias[aliases]   tokens of the same bytes as one that the tree has, ascending
 *   kinds     uint8[nodes]               tini_byte_kind of the bytes of the node and of all below it
 *
 * In it are all normal and user tokens by their bytes, and the control tokens as the four bytes by which a
 * constraint names them: 0xFF, then the id in 24 bits, the high byte first. Left out: tokens that are empty,
 * unused, end a generation, have a byte 0xFF, or have more than TINI_TRIE_LONGEST bytes. */
#ifndef TINI_TRIE_H
#define TINI_TRIE_H

#include "../text/tokenizer.h"

#define TINI_TRIE_MAGIC 0x49525454u /* "TTRI" */
#define TINI_TRIE_VERSION 1u
#define TINI_TRIE_LONGEST 255u
#define TINI_TRIE_NO_TOKEN 0xFFFFFFu
#define TINI_TRIE_MAX_NODES 0xFFFFFFu

typedef struct tini_trie_header {
    uint32_t magic, version;
    uint32_t vocab, nodes, aliases;
    uint32_t longest; /* bytes of the longest token */
    uint32_t reserved[2];
} tini_trie_header;

typedef struct tini_trie_node {
    uint32_t
        byte_size; /* the byte; above it, in 24 bits, how many nodes there are from here to the subtree's end */
    uint32_t depth_token; /* how many bytes lead here, 1 .. TINI_TRIE_LONGEST; above it the token or NO_TOKEN */
} tini_trie_node;

typedef struct tini_trie_alias {
    uint32_t token, same; /* `same` is in the tree */
} tini_trie_alias;

/* A checked view; `data` must stay readable and unchanged as long as it is used. header is NULL where a file has
 * none. */
typedef struct tini_trie {
    const tini_trie_header *header;
    const uint32_t *first;
    const tini_trie_node *nodes;
    const tini_trie_alias *aliases;
    const uint8_t *kinds;
} tini_trie;

/* One bit: lower case, upper case, digits, the space, other ASCII, characters that JSON escapes, control
 * characters, the rest. A subtree with few kinds of bytes can be accepted at once. */
static inline uint8_t tini_byte_kind(uint32_t byte) {
    if (byte >= 0x80)
        return 128;
    if (byte < ' ' || byte == 0x7F)
        return 64;
    if (byte == '"' || byte == '\\')
        return 32;
    if (byte == ' ')
        return 8;
    if (byte >= '0' && byte <= '9')
        return 4;
    if (byte >= 'A' && byte <= 'Z')
        return 2;
    return byte >= 'a' && byte <= 'z' ? 1 : 16;
}

static inline uint32_t tini_trie_byte(tini_trie_node node) {
    return node.byte_size & 0xFF;
}

static inline uint32_t tini_trie_size(tini_trie_node node) {
    return node.byte_size >> 8;
}

static inline uint32_t tini_trie_depth(tini_trie_node node) {
    return node.depth_token & 0xFF;
}

static inline uint32_t tini_trie_token(tini_trie_node node) {
    return node.depth_token >> 8;
}

/* The bytes of a token in constraints, in place or in `room`; NULL if the trie does not have it. The token is in
 * range. */
const uint8_t *tini_trie_bytes(const tini_tokenizer *tokenizer, uint32_t token, uint8_t room[4],
                               uint32_t *length);

/* Checks the sizes of data[size] (aligned to 4 bytes) and fills the view. The contents are not read yet, since
 * most models answer without a constraint. Errors: FORMAT, VERSION. */
tin_status tini_trie_open(tini_trie *view, const uint8_t *data, size_t size, tin_error *error);

/* A model's, from seal/model.c. */
const tini_trie *tini_model_trie(const tin_model *model);

/* Checks every node and alias against the tokenizer; call it before using any. Errors: FORMAT. */
tin_status tini_trie_check(const tini_trie *view, const tini_tokenizer *tokenizer, tin_error *error);

#endif
