/* Opening a tokenizer.bin: every count, offset, id and slot is checked here, and nothing later. */
#include "tokenizer.h"
#include "../base/error.h"
#include "../base/region.h"

#include <string.h>

TINI_REGION_COLD

/* Order of two byte strings: by the first byte that differs, then a prefix first. */
static int compare_bytes(const uint8_t *a, uint32_t a_length, const uint8_t *b, uint32_t b_length) {
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order ? order : (a_length > b_length) - (a_length < b_length);
}

static int is_power(uint32_t slots) {
    return slots >= 2 && !(slots & (slots - 1));
}

/* Bytes of the parts, in their order. */
enum { PARTS = 10 };

static void part_sizes(const tini_tokenizer_header *h, uint64_t sizes[PARTS]) {
    const uint64_t word = sizeof(uint32_t), vocab = h->vocab;
    sizes[0] = h->model == TINI_MODEL_UNIGRAM ? sizeof(double) * (vocab + 1) : 0;
    sizes[1] = word * (vocab + 1);
    sizes[2] = sizeof(tini_merge) * (uint64_t)h->merges;
    sizes[3] = word * h->merge_slots;
    sizes[4] = word * h->text_slots;
    sizes[5] = sizeof(tini_special) * (uint64_t)h->specials;
    sizes[6] = word * 256;
    sizes[7] = h->model == TINI_MODEL_CHARACTERS ? TINI_MERGE_PAIR_BYTES : 0;
    sizes[8] = vocab;
    sizes[9] = h->text_bytes;
}

static tin_status check_tokenizer_header(const tini_tokenizer_header *h, size_t size, tin_error *error) {
    if (size < sizeof *h || h->magic != TINI_TOKENIZER_MAGIC)
        return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin does not begin as one");
    if (h->version != TINI_TOKENIZER_VERSION)
        return tini_other_version(error, "tokenizer.bin", h->version, TINI_TOKENIZER_VERSION, TINI_BUILD_AGAIN);
    if (h->model >= TINI_MODELS || (h->flags & ~(uint32_t)TINI_TOKENIZER_FLAGS))
        return tini_fail(error, TIN_ERR_UNSUPPORTED,
                         "tokenizer.bin wants model %u and flags %u, which this build lacks", h->model,
                         h->flags);
    if (h->vocab == 0 || h->vocab >= TINI_SLOT_NUMBER || h->merges >= TINI_SLOT_NUMBER ||
        h->merge_slots > 1u << 25 || h->text_slots > 1u << 25 || h->specials > h->vocab ||
        h->text_bytes > 1u << 28)
        return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin has a count out of range");
    if (!is_power(h->merge_slots) || !is_power(h->text_slots))
        return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin has %u and %u hash slots, no powers of two",
                         h->merge_slots, h->text_slots);
    uint64_t sizes[PARTS], want = sizeof *h;
    part_sizes(h, sizes);
    for (uint32_t k = 0; k < PARTS; k++)
        want += sizes[k];
    if (want != size)
        return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin has %llu bytes; its counts make %llu",
                         (unsigned long long)size, (unsigned long long)want);
    const int32_t ids[4] = {h->bos, h->eos, h->unk, h->pad};
    for (uint32_t i = 0; i < 4; i++)
        if (ids[i] < -1 || ids[i] >= (int32_t)h->vocab)
            return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin names the token %d of %u", ids[i], h->vocab);
    const uint32_t unknown = h->flags & TINI_TOKENIZER_UNK,
                   prefixes = TINI_TOKENIZER_PREPEND | TINI_TOKENIZER_PREFIX | TINI_TOKENIZER_PREFIX_FIRST;
    if ((unknown && h->unk < 0) || ((h->flags & prefixes) && !(h->flags & TINI_TOKENIZER_SPACES)) ||
        ((h->flags & TINI_TOKENIZER_SPACES) && (h->flags & TINI_TOKENIZER_NFC)))
        return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin has flags that contradict each other");
    return TIN_OK;
}

static tin_status find_split(tini_tokenizer *view, tin_error *error) {
    char name[sizeof view->header->pretokenizer + 1] = {0};
    memcpy(name, view->header->pretokenizer, sizeof view->header->pretokenizer);
    if (view->header->model != TINI_MODEL_BYTES)
        return *name ? tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin has no use for the pre-tokenizer '%s'",
                                 name)
                     : TIN_OK;
    view->split = tini_split_find(name);
    if (view->split)
        return TIN_OK;
    return tini_fail(error, TIN_ERR_UNSUPPORTED,
                     "tokenizer.bin wants the pre-tokenizer '%s', which this build lacks", name);
}

static tin_status check_tokens(const tini_tokenizer *view, tin_error *error) {
    const tini_tokenizer_header *h = view->header;
    if (view->offsets[0] != 0 || view->offsets[h->vocab] > h->text_bytes)
        return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin: token texts do not fit their part");
    uint32_t longest = 0;
    for (uint32_t t = 0; t < h->vocab; t++) {
        uint32_t length = view->offsets[t + 1] - view->offsets[t];
        if (view->offsets[t] > view->offsets[t + 1] ||
            view->kinds[t] > (TINI_TOKEN_UNUSED | TINI_TOKEN_END | TINI_TOKEN_WHOLE) ||
            ((view->kinds[t] & TINI_TOKEN_WHOLE) && tini_token_is_control(view, (int32_t)t)))
            return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin: token %u is damaged", t);
        longest = length > longest ? length : longest;
    }
    if (h->longest > longest)
        return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin: its longest token has %u bytes, not %u",
                         longest, h->longest);
    if (h->model == TINI_MODEL_UNIGRAM && h->longest > TINI_UNIGRAM_LONGEST)
        return tini_fail(error, TIN_ERR_FORMAT,
                         "tokenizer.bin: a token of %u bytes; a unigram model's have at most %u", h->longest,
                         TINI_UNIGRAM_LONGEST);
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

static int is_wrong(uint32_t slot, uint32_t count) {
    return (slot != TINI_SLOT_EMPTY) & ((slot & TINI_SLOT_NUMBER) >= count);
}

/* A hash that has numbers below `count`, and everywhere an empty slot nearby at which a search ends. What is used is as
 * chance has it, so no branch depends on it: there may be a million slots. */
static tin_status check_slots(const uint32_t *slots, uint32_t size, uint32_t count, tin_error *error) {
    uint32_t most = size < TINI_SLOT_RUN ? size : TINI_SLOT_RUN, run = 0, longest = 0, wrong = 0;
    for (uint32_t s = 0; s < size + most; s++) { /* a run may go over the end */
        uint32_t slot = slots[s & (size - 1)];
        run = (run + 1) & (0u - (slot != TINI_SLOT_EMPTY));
        longest = run > longest ? run : longest;
        wrong += (uint32_t)is_wrong(slot, count);
    }
    for (uint32_t s = 0; wrong && s < size; s++)
        if (is_wrong(slots[s], count))
            return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin: hash slot %u is damaged", s);
    if (longest < most)
        return TIN_OK;
    return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin: its hash has no empty slot in %u", most);
}

static tin_status check_merges(const tini_tokenizer *view, tin_error *error) {
    const tini_tokenizer_header *h = view->header;
    for (uint32_t m = 0; m < h->merges; m++) {
        const tini_merge *merge = &view->merges[m];
        if (merge->left >= h->vocab || merge->right >= h->vocab || merge->token >= h->vocab ||
            tini_token_is_control(view, (int32_t)merge->token) || merge->rank > m)
            return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin: merge %u is damaged", m);
    }
    return check_slots(view->merge_slots, h->merge_slots, h->merges, error);
}

static tin_status check_specials(tini_tokenizer *view, tin_error *error) {
    const tini_tokenizer_header *h = view->header;
    for (uint32_t s = 0; s < h->specials; s++) {
        const tini_special *special = &view->specials[s], *last = &view->specials[s ? s - 1 : 0];
        int good = special->token < h->vocab && special->length && special->offset <= h->text_bytes &&
                   special->length <= h->text_bytes - special->offset && special->flags <= 7;
        if (!good || (s && compare_bytes(view->text + last->offset, last->length, view->text + special->offset,
                                         special->length) >= 0))
            return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin: special token %u is damaged", s);
        if (special->length > TINI_SPECIAL_LONGEST)
            return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin: special token %u has %u bytes; at most %u",
                             s, special->length, TINI_SPECIAL_LONGEST);
        uint32_t normalized = (special->flags & TINI_SPECIAL_NORMALIZED) != 0;
        uint8_t start = view->text[special->offset];
        view->special_starts[normalized][start >> 5] |= 1u << (start & 31);
        view->normalized += normalized;
    }
    return TIN_OK;
}

static uint32_t shift_of(uint32_t slots) {
    uint32_t shift = 32;
    for (; slots > 1; slots >>= 1)
        shift--;
    return shift;
}

/* Where the parts lie. */
static void find_parts(tini_tokenizer *view, const uint8_t *data) {
    const tini_tokenizer_header *h = (const void *)data;
    const uint8_t *at[PARTS];
    uint64_t sizes[PARTS];
    part_sizes(h, sizes);
    at[0] = data + sizeof *h;
    for (uint32_t k = 1; k < PARTS; k++)
        at[k] = at[k - 1] + sizes[k - 1];
    view->header = h;
    view->bos = h->bos;
    view->eos = h->eos;
    view->unk = h->unk;
    view->pad = h->pad;
    view->scores = at[0];
    view->offsets = (const void *)at[1];
    view->merges = (const void *)at[2];
    view->merge_slots = (const void *)at[3];
    view->text_slots = (const void *)at[4];
    view->specials = (const void *)at[5];
    view->byte_ids = (const void *)at[6];
    view->merge_pairs = h->model == TINI_MODEL_CHARACTERS ? at[7] : NULL;
    view->kinds = at[8];
    view->text = at[9];
    view->merge_shift = shift_of(h->merge_slots);
    view->text_shift = shift_of(h->text_slots);
}

tin_status tini_tokenizer_open(tini_tokenizer *view, const uint8_t *data, size_t size, tin_error *error) {
    memset(view, 0, sizeof *view);
    if ((uintptr_t)data % sizeof(uint32_t))
        return tini_fail(error, TIN_ERR_FORMAT, "tokenizer.bin is not aligned to %u bytes", 4u);
    tin_status status = check_tokenizer_header((const void *)data, size, error);
    if (status)
        return status;
    find_parts(view, data);
    if ((status = find_split(view, error)) || (status = check_tokens(view, error)) ||
        (status = check_merges(view, error)) ||
        (status = check_slots(view->text_slots, view->header->text_slots, view->header->vocab, error)))
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

TINI_REGION_END
