#include "vocabulary.h"
#include "../core/base/error.h"
#include "../core/text/bpe.h"

#include <string.h>

/* No token that is longer is marked: such pieces are few. */
enum { LONGEST_WHOLE = 1 << 12 };

/* Slots are looked for within TINI_SLOT_RUN alone: a vocabulary that is made to collide is given up before the work
 * becomes that of each number times all others. 0: there is none. */
static int put_text(const tini_tokenizer *view, uint32_t *slots, uint32_t hash, uint32_t token) {
    uint32_t mask = view->header->text_slots - 1, slot = hash >> view->text_shift;
    for (uint32_t step = 0; step < TINI_SLOT_RUN; step++, slot = (slot + 1) & mask)
        if (slots[slot] == TINI_SLOT_EMPTY) {
            slots[slot] = token | hash << 22;
            return 1;
        }
    return 0;
}

static int hash_texts(const tini_tokenizer *view, const uint8_t *is_text, uint32_t *slots, uint32_t *longest) {
    uint32_t used = 0;
    for (uint32_t token = 0; token < view->header->vocab; token++) {
        uint32_t length, hash = TINI_TEXT_HASH;
        const uint8_t *text = tini_token_bytes(view, (int32_t)token, &length);
        if (!is_text[token] || !length)
            continue;
        for (uint32_t k = 0; k < length; k++)
            hash = tini_text_hash_byte(hash, text[k]);
        if (tini_text_token(view, text, length, hash) >= 0)
            continue;
        if (++used == view->header->text_slots || !put_text(view, slots, tini_text_hash(hash), token))
            return 0;
        *longest = length > *longest ? length : *longest;
    }
    return 1;
}

/* Of a pair that stands twice, the later counts. */
static int put_merge(const tini_tokenizer *view, uint32_t *slots, uint32_t m) {
    const tini_merge *merge = &view->merges[m];
    uint32_t hash = tini_pair_hash(merge->left, merge->right), mask = view->header->merge_slots - 1;
    uint32_t slot = hash >> view->merge_shift, step = 0;
    for (; step < TINI_SLOT_RUN && slots[slot] != TINI_SLOT_EMPTY; step++, slot = (slot + 1) & mask) {
        const tini_merge *other = &view->merges[slots[slot] & TINI_SLOT_NUMBER];
        if (other->left == merge->left && other->right == merge->right)
            break;
    }
    if (step < TINI_SLOT_RUN)
        slots[slot] = m | hash << 22;
    return step < TINI_SLOT_RUN;
}

static int hash_merges(const tini_tokenizer *view, uint32_t *slots) {
    uint32_t m = 0;
    while (m < view->header->merges && put_merge(view, slots, m))
        m++;
    return m == view->header->merges;
}

static void find_merge_pairs(const tini_tokenizer *view, uint8_t *merge_pairs) {
    memset(merge_pairs, 0, TINI_MERGE_PAIR_BYTES);
    for (uint32_t m = 0; m < view->header->merges; m++) {
        uint32_t left_length, right_length;
        const uint8_t *left = tini_token_bytes(view, (int32_t)view->merges[m].left, &left_length);
        const uint8_t *right = tini_token_bytes(view, (int32_t)view->merges[m].right, &right_length);
        if (!left_length || !right_length)
            continue;
        uint32_t pair = (uint32_t)left[left_length - 1] << 8 | right[0];
        merge_pairs[pair >> 3] |= (uint8_t)(1u << (pair & 7));
    }
}

static void mark_whole(const tini_tokenizer *view, int all, const uint8_t *is_text, uint8_t *kinds,
                       uint32_t *words) {
    for (uint32_t token = 0; token < view->header->vocab; token++) {
        uint32_t length;
        const uint8_t *text = tini_token_bytes(view, (int32_t)token, &length);
        int32_t first = -1;
        tini_token_sink out = {&first, 1, 0, -1};
        if (!is_text[token] || !length || (!all && length > LONGEST_WHOLE))
            continue;
        if (!all)
            tini_bpe_piece(view, text, length, &out, words);
        if (all || (out.count == 1 && first == (int32_t)token))
            kinds[token] |= TINI_TOKEN_WHOLE;
    }
}

size_t tini_vocabulary_words(const uint8_t *data, size_t size) {
    const tini_tokenizer_header *h = (const void *)data;
    const tini_tokenizer view = {.header = h};
    return size < sizeof *h ? 0 : (size_t)tini_piece_words(&view, LONGEST_WHOLE);
}

tin_status tini_vocabulary_index(uint8_t *data, size_t size, int all, const uint8_t *is_text, uint32_t *words,
                                 tin_error *error) {
    tini_tokenizer view;
    tin_status status = tini_tokenizer_open(&view, data, size, error);
    if (status)
        return status;
    /* The parts lie in data, which is ours to write. */
    uint32_t *merge_slots = (void *)(data + ((const uint8_t *)view.merge_slots - data));
    uint32_t *text_slots = (void *)(data + ((const uint8_t *)view.text_slots - data));
    memset(merge_slots, 0xFF, sizeof *merge_slots * view.header->merge_slots);
    memset(text_slots, 0xFF, sizeof *text_slots * view.header->text_slots);
    uint32_t longest = 0;
    if (!hash_merges(&view, merge_slots) || !hash_texts(&view, is_text, text_slots, &longest))
        return tini_fail(error, TIN_ERR_FORMAT,
                         "its merges or texts have been made to collide: the hash has no empty slot in %u",
                         TINI_SLOT_RUN);
    ((tini_tokenizer_header *)(void *)data)->longest = longest;
    status = tini_tokenizer_open(&view, data, size, error);
    if (status)
        return status;
    if (view.merge_pairs)
        find_merge_pairs(&view, data + (view.merge_pairs - data));
    if (view.header->model != TINI_MODEL_UNIGRAM)
        mark_whole(&view, all, is_text, data + (view.kinds - data), words);
    return tini_tokenizer_open(&view, data, size, error);
}
