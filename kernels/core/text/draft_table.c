#include "draft_table.h"
#include "../base/error.h"
#include "../base/region.h"
#include "encode.h"

#include <string.h>

TINI_REGION_COLD

enum { BEGINNING = -1, COPIED = -2, COPIED_LONGEST = 16 };

/* ---- The table ---- */

tin_status tini_draft_table_open(tini_draft_table *view, const uint8_t *data, size_t size,
                                 const tini_tokenizer *tokenizer, tin_error *error) {
    const tini_draft_table_header *h = (const void *)data;
    *view = (tini_draft_table){0};
    if (!data || (uintptr_t)data % sizeof(uint32_t))
        return tini_fail(error, TIN_ERR_ARGUMENT, "the draft table is missing or not aligned to 4 bytes");
    if (size < sizeof *h || h->magic != TINI_DRAFT_MAGIC)
        return tini_fail(error, TIN_ERR_FORMAT, "these bytes are not a draft table");
    if (h->version != TINI_DRAFT_VERSION)
        return tini_other_version(error, "the draft table", h->version, TINI_DRAFT_VERSION,
                                  "build the file again with this version");
    if (h->rules > size / 8 || size != sizeof *h + (size_t)h->rules * 8)
        return tini_fail(error, TIN_ERR_FORMAT, "the draft table is damaged: its rules do not fit its size");
    if (h->vocab != tokenizer->header->vocab)
        return tini_fail(error, TIN_ERR_FORMAT, "the draft table is of %u tokens and tokenizer.bin has %u",
                         h->vocab, tokenizer->header->vocab);
    const uint32_t *keys = (const uint32_t *)(const void *)(data + sizeof *h), *rules = keys + h->rules;
    for (uint32_t k = 0; k < h->rules; k++) {
        uint32_t token = rules[k] & TINI_DRAFT_COPY;
        if ((k && keys[k] <= keys[k - 1]) || (token >= h->vocab && token != TINI_DRAFT_COPY))
            return tini_fail(error, TIN_ERR_FORMAT, "rule %u of the draft table is damaged", k);
    }
    *view = (tini_draft_table){h, keys, rules};
    return TIN_OK;
}

/* The rule of a key; 0, which is right in none of 256, where there is none. */
static uint32_t find_rule(const tini_draft_table *table, uint32_t key) {
    uint32_t low = 0, high = table->header->rules;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (table->keys[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < table->header->rules && table->keys[low] == key ? table->rules[low] : 0;
}

/* ---- The prompt's text ---- */

void tini_drafter_begin(tini_drafter *d, const int32_t *tokens, uint32_t count) {
    uint32_t first = count, bytes = 0, length;
    for (; first && count - first < TINI_DRAFT_TOKENS && tokens[first - 1] != TIN_EMBEDDED;
         first--, bytes += length) {
        tini_token_bytes(d->tokenizer, tokens[first - 1], &length);
        if (bytes + length > TINI_DRAFT_TEXT)
            break;
    }
    d->begin = d->known = count;
    d->count = count - first;
    d->copying = (tini_copying){0};
    bytes = 0;
    for (uint32_t k = 0; k < d->count; k++) {
        const uint8_t *text = tini_token_bytes(d->tokenizer, tokens[first + k], &length);
        d->begins[k] = (uint16_t)bytes;
        if (length)
            memcpy(d->text + bytes, text, length);
        bytes += length;
    }
    d->begins[d->count] = (uint16_t)bytes;
}

/* Where the text's token k begins as an answer would write it: without the space before a word. */
static uint32_t word_at(const tini_drafter *d, uint32_t k) {
    uint32_t at = d->begins[k];
    return at + (at < d->begins[d->count] && d->text[at] == ' ');
}

int32_t tini_drafter_copied(const tini_drafter *d, uint32_t place) {
    uint32_t end = d->begins[d->count], hash = TINI_TEXT_HASH;
    int32_t found = -1;
    for (uint32_t k = 0; place + k < end && k < COPIED_LONGEST && (!k || d->text[place + k] != ' '); k++) {
        hash = tini_text_hash_byte(hash, d->text[place + k]);
        int32_t token = tini_text_token(d->tokenizer, d->text + place, k + 1, hash);
        found = token >= 0 ? token : found;
    }
    return found;
}

/* The last place where a word begins with text[length] and then more[count]; NOWHERE when there is none. */
static uint32_t find_word(const tini_drafter *d, const uint8_t *text, uint32_t length, const uint8_t *more,
                          uint32_t count) {
    uint32_t end = d->begins[d->count];
    for (uint32_t k = d->count; k--;) {
        uint32_t at = word_at(d, k);
        if (at + length + count <= end && !memcmp(d->text + at, text, length) &&
            !memcmp(d->text + at + length, more, count))
            return at;
    }
    return TINI_DRAFT_NOWHERE;
}

/* ---- What is seen ---- */

static uint32_t join(uint32_t hash, uint32_t value) {
    hash = (hash ^ value) * 0x85EBCA77u;
    hash = (hash ^ hash >> 15) * 0x2C1B3C6Du;
    return hash ^ hash >> 13;
}

/* Of the `length` tokens before tokens[at], the beginning of the answer as one; 0 where there are fewer. */
static uint32_t hash_last(const tini_drafter *d, const int32_t *tokens, uint32_t at, uint32_t length) {
    uint32_t hash = length;
    if (at + 1 - d->begin < length)
        return 0;
    for (uint32_t k = 1; k <= length; k++)
        hash = join(hash, (uint32_t)(at - d->begin < k ? BEGINNING : tokens[at - k]));
    return hash;
}

static int begins_word(uint8_t byte) {
    return (byte >= '0' && byte <= '9') || ((byte | 32) >= 'a' && (byte | 32) <= 'z') || byte >= 0x80;
}

tini_copying tini_drafter_follow(const tini_drafter *d, tini_copying copying, const int32_t *tokens,
                                 uint32_t at) {
    uint32_t length, place = TINI_DRAFT_NOWHERE;
    const uint8_t *text = tini_token_bytes(d->tokenizer, tokens[at], &length);
    if (length && copying.length)
        place = find_word(d, d->text + copying.end - copying.length, copying.length, text, length);
    if (place != TINI_DRAFT_NOWHERE) {
        copying.length += length;
        copying.end = place + copying.length;
        return copying;
    }
    if (length && begins_word(*text))
        place = find_word(d, text, 0, text, length);
    if (place == TINI_DRAFT_NOWHERE)
        return (tini_copying){.shape = join(copying.shape, (uint32_t)tokens[at])};
    return (tini_copying){
        .end = place + length,
        .length = length,
        .slot = hash_last(d, tokens, at, 2),
        .shape = join(copying.shape, (uint32_t)COPIED),
    };
}

uint32_t tini_drafter_keys(const tini_drafter *d, tini_copying copying, const int32_t *tokens, uint32_t at,
                           tini_draft_key keys[TINI_DRAFT_KEYS]) {
    uint32_t count = 0;
    keys[count++] = (tini_draft_key){
        .key = join(32, copying.shape),
        .copied = copying.length ? copying.end : TINI_DRAFT_NOWHERE,
        .joined = 1,
    };
    for (uint32_t length = 4; length; length /= 2) {
        uint32_t key = hash_last(d, tokens, at, length);
        if (key)
            keys[count++] = (tini_draft_key){key, TINI_DRAFT_NOWHERE, 1};
    }
    if (copying.length) {
        uint32_t next = join(8, (uint32_t)tini_drafter_copied(d, copying.end));
        keys[count++] = (tini_draft_key){join(16, copying.slot), copying.end, 0};
        keys[count++] = (tini_draft_key){next, copying.end, 0};
        keys[count++] = (tini_draft_key){join(next, copying.slot), copying.end, 0};
    }
    return count;
}

tini_draft_key tini_drafter_join(const tini_drafter *d, tini_draft_key key, const int32_t *tokens, uint32_t k) {
    return (tini_draft_key){
        .key = join(key.key, (uint32_t)tokens[d->begin - d->count + k]),
        .copied = k + 1 < d->count ? word_at(d, k + 1) : TINI_DRAFT_NOWHERE,
    };
}

/* ---- Drafts ---- */

typedef struct best_draft {
    const tini_drafter *d;
    const uint32_t *mask;
    int32_t token;
    uint32_t confidence;
} best_draft;

/* The rule of what is seen; its token is the best so far where it is surer. */
static uint32_t take_rule(best_draft *best, tini_draft_key key) {
    uint32_t rule = find_rule(&best->d->table, key.key), confidence = rule >> 24;
    if (!confidence || confidence < best->confidence)
        return rule;
    int32_t token = (int32_t)(rule & TINI_DRAFT_COPY);
    if (token == (int32_t)TINI_DRAFT_COPY)
        token = key.copied == TINI_DRAFT_NOWHERE ? -1 : tini_drafter_copied(best->d, key.copied);
    if (token >= 0 && (!best->mask || best->mask[token / 32] >> token % 32 & 1)) {
        best->token = token;
        best->confidence = confidence;
    }
    return rule;
}

int32_t tini_drafter_next(const tini_drafter *d, tini_copying copying, const int32_t *tokens, uint32_t at,
                          const uint32_t *mask, uint32_t *confidence) {
    best_draft best = {.d = d, .mask = mask, .token = -1};
    tini_draft_key keys[TINI_DRAFT_KEYS];
    uint32_t count = tini_drafter_keys(d, copying, tokens, at, keys);
    for (uint32_t k = 0; k < count; k++) {
        uint32_t rule = take_rule(&best, keys[k]);
        if (rule & TINI_DRAFT_JOINED && keys[k].joined)
            for (uint32_t cue = 0; cue < d->count; cue++)
                take_rule(&best, tini_drafter_join(d, keys[k], tokens, cue));
    }
    *confidence = best.confidence;
    return best.token;
}

TINI_REGION_END
