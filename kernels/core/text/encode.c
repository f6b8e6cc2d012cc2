#include "encode.h"
#include "../base/utf8.h"
#include "bpe.h"
#include "normalize.h"
#include "unicode.h"
#include "unigram.h"

#include <string.h>

/* ---- Special tokens ------------------------------------------------------------------------------------------- */

/* The first of the special tokens [low, high), which agree in their first `depth` bytes, whose byte at `depth`
 * is at least `byte` (a token that ends there comes before all). */
static uint32_t lower_bound(const tini_tokenizer *view, uint32_t low, uint32_t high, uint32_t depth,
                            uint32_t byte) {
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const tini_special *special = &view->specials[middle];
        if (special->length <= depth || view->text[special->offset + depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Which specials are looked for. */
typedef struct wanted {
    int control;         /* control tokens too? */
    uint32_t normalized; /* 0 or TINI_SPECIAL_NORMALIZED */
} wanted;

/* The longest special token that text begins with; NULL when there is none. */
static const tini_special *match_special(const tini_tokenizer *view, const uint8_t *text, size_t length,
                                         wanted want) {
    const tini_special *best = NULL;
    uint32_t low = 0, high = view->header->specials;
    for (uint32_t depth = 0; depth < length; depth++) {
        low = lower_bound(view, low, high, depth, text[depth]);
        high = lower_bound(view, low, high, depth, text[depth] + 1u);
        if (low == high)
            break;
        const tini_special *special = &view->specials[low];
        if (special->length == depth + 1 && (special->flags & TINI_SPECIAL_NORMALIZED) == want.normalized &&
            (want.control || !tini_token_is_control(view, (int32_t)special->token)))
            best = special;
    }
    return best;
}

/* The place of the first special token at or after `at`, and which; `length` and NULL when there is none. */
static size_t find_special(const tini_tokenizer *view, const uint8_t *text, size_t at, size_t length,
                           wanted want, const tini_special **special) {
    const uint32_t *starts = view->special_starts[want.normalized != 0];
    for (; at < length; at++) {
        if (!(starts[text[at] >> 5] >> (text[at] & 31) & 1))
            continue;
        *special = match_special(view, text + at, length - at, want);
        if (*special)
            return at;
    }
    *special = NULL;
    return length;
}

size_t tini_special_control(const tini_tokenizer *view, const uint8_t *text, size_t at, size_t length,
                            int32_t *token, size_t *behind) {
    while (at < length) {
        const tini_special *raw = match_special(view, text + at, length - at, (wanted){1, 0});
        const tini_special *special =
            raw ? raw : match_special(view, text + at, length - at, (wanted){1, TINI_SPECIAL_NORMALIZED});
        if (special && tini_token_is_control(view, (int32_t)special->token)) {
            *token = (int32_t)special->token;
            *behind = at + special->length;
            return at;
        }
        at += special ? special->length : 1;
    }
    return length;
}

/* Bytes of white space that text[length] begins, or ends, with. */
static size_t space_before(const uint8_t *text, size_t length) {
    size_t left = length;
    while (left) {
        size_t start = left - 1;
        uint32_t code;
        while (start && left - start < 4 && (text[start] & 0xC0) == 0x80)
            start--;
        if (tini_utf8_read(text + start, left - start, &code) != left - start ||
            tini_unicode_class(code) != TINI_SPACE)
            break;
        left = start;
    }
    return length - left;
}

static size_t space_behind(const uint8_t *text, size_t length) {
    size_t at = 0;
    while (at < length) {
        uint32_t code, bytes = tini_utf8_read(text + at, length - at, &code);
        if (tini_unicode_class(code) != TINI_SPACE)
            break;
        at += bytes;
    }
    return at;
}

static uint32_t flags_of(const tini_tokenizer *view, int32_t token) {
    for (uint32_t s = 0; token >= 0 && s < view->header->specials; s++)
        if (view->specials[s].token == (uint32_t)token)
            return view->specials[s].flags;
    return 0;
}

void tini_special_strip(const tini_tokenizer *view, int32_t before, int32_t after, const uint8_t **text,
                        size_t *length) {
    if (flags_of(view, before) & TINI_SPECIAL_RSTRIP) {
        size_t space = space_behind(*text, *length);
        *text += space;
        *length -= space;
    }
    if (flags_of(view, after) & TINI_SPECIAL_LSTRIP)
        *length -= space_before(*text, *length);
}

/* How far a text is done: to `begin`. `white` is where the white space ends that was last looked over; what special tokens
 * stand in it, none is looked over twice. */
typedef struct progress {
    size_t begin, white;
} progress;

/* Where the text before the special token at `place` ends; not after `begin` where there is none. */
static size_t end_before(const progress *done, const uint8_t *text, size_t place, const tini_special *special) {
    if (special && special->flags & TINI_SPECIAL_LSTRIP && place > done->begin)
        return place - space_before(text + done->begin, place - done->begin);
    return place;
}

/* Goes on behind a special token that ends at `end`. */
static void go_behind(progress *done, const uint8_t *text, size_t length, size_t end,
                      const tini_special *special) {
    done->begin = end;
    if (!(special->flags & TINI_SPECIAL_RSTRIP))
        return;
    if (done->white < end)
        done->white = end + space_behind(text + end, length - end);
    done->begin = done->white;
}

/* ---- Pieces --------------------------------------------------------------------------------------------------- */

int32_t tini_text_token(const tini_tokenizer *view, const uint8_t *text, size_t length, uint32_t hash) {
    uint32_t mask = view->header->text_slots - 1;
    hash = tini_text_hash(hash);
    for (uint32_t slot = hash >> view->text_shift;; slot = (slot + 1) & mask) {
        uint32_t entry = view->text_slots[slot];
        if (entry == TINI_SLOT_EMPTY)
            return -1;
        if ((entry ^ hash << 22) >> 22)
            continue;
        uint32_t token = entry & TINI_SLOT_NUMBER, at = view->offsets[token];
        if (view->offsets[token + 1] - at == length && !memcmp(view->text + at, text, length))
            return tini_token_is_control(view, (int32_t)token) ? -1 : (int32_t)token;
    }
}

void tini_put_unknown(const tini_tokenizer *view, const uint8_t *text, size_t length, tini_token_sink *out) {
    for (size_t i = 0; i < length; i++) {
        if (view->byte_ids[text[i]] >= 0) {
            tini_put(out, view->byte_ids[text[i]]);
            continue;
        }
        if ((view->header->flags & TINI_TOKENIZER_UNK) &&
            (!(view->header->flags & TINI_TOKENIZER_FUSE_UNK) || out->last != view->unk))
            tini_put(out, view->unk);
        break;
    }
}

/* Text between specials, on its way to tokens. */
typedef struct encoder {
    const tini_tokenizer *view;
    tini_token_sink out;
    uint32_t *words; /* [tini_piece_words and TINI_NFC_WORDS of the whole text] */
    uint8_t *room;   /* normalized text; where spaces are put before text, it begins one byte later */
    wanted want;
    int first, joined; /* nothing of the text has been encoded; and text stands before it */
} encoder;

static void encode_piece(encoder *e, const uint8_t *text, size_t length) {
    const tini_tokenizer *view = e->view;
    if (view->header->model == TINI_MODEL_UNIGRAM) {
        tini_unigram_piece(view, text, length, &e->out, e->words);
        return;
    }
    if (length <= view->header->longest) {
        uint32_t hash = TINI_TEXT_HASH;
        for (size_t i = 0; i < length; i++)
            hash = tini_text_hash_byte(hash, text[i]);
        int32_t token = tini_text_token(view, text, length, hash);
        if (token >= 0 && (view->kinds[token] & TINI_TOKEN_WHOLE)) {
            tini_put(&e->out, token);
            return;
        }
    }
    tini_bpe_piece(view, text, length, &e->out, e->words);
}

/* Bytes of the first piece of text without a pre-tokenizer: cut where no merge can join, and before spaces where they
 * begin pieces. */
static size_t cut_piece(const tini_tokenizer *view, const uint8_t *text, size_t length) {
    const uint32_t spaces = view->header->flags & TINI_TOKENIZER_SPLIT_SPACES;
    for (size_t at = 1; at < length; at++) {
        if (spaces && text[at] == ' ')
            return at;
        uint32_t pair = (uint32_t)text[at - 1] << 8 | text[at];
        if (view->merge_pairs && (text[at] & 0xC0) != 0x80 && !(view->merge_pairs[pair >> 3] >> (pair & 7) & 1))
            return at;
    }
    return length;
}

/* Text that has no specials and is normalized. A space before it may be written to text[-1]. */
static void encode_plain(encoder *e, uint8_t *room, const uint8_t *text, size_t length) {
    const tini_tokenizer *view = e->view;
    uint32_t prefix = view->header->flags & (TINI_TOKENIZER_PREFIX | TINI_TOKENIZER_PREFIX_FIRST);
    if (room && length && *text != ' ' && (prefix & TINI_TOKENIZER_PREFIX ? !e->joined : prefix && e->first)) {
        room[-1] = ' ';
        text = room - 1;
        length++;
    }
    e->first = e->joined = 0;
    e->out.last = -1;
    while (length) {
        size_t taken = view->split ? view->split(text, length) : cut_piece(view, text, length);
        encode_piece(e, text, taken);
        text += taken;
        length -= taken;
    }
}

/* Cuts out the specials of normalized text. `room`: where the text lies, when it may be written there. */
static void encode_normalized(encoder *e, uint8_t *room, const uint8_t *text, size_t length) {
    const wanted want = {e->want.control, TINI_SPECIAL_NORMALIZED};
    progress done = {0, 0};
    size_t at = 0;
    while (e->view->normalized) {
        const tini_special *special;
        size_t place = find_special(e->view, text, at, length, want, &special);
        if (!special)
            break;
        size_t begin = done.begin, end = end_before(&done, text, place, special);
        if (begin < end)
            encode_plain(e, room ? room + begin : NULL, text + begin, end - begin);
        tini_put(&e->out, (int32_t)special->token);
        e->first = e->joined = 0;
        at = place + special->length;
        go_behind(&done, text, length, at, special);
    }
    if (done.begin < length)
        encode_plain(e, room ? room + done.begin : NULL, text + done.begin, length - done.begin);
}

static void encode_raw(encoder *e, const uint8_t *text, size_t length, int prepend) {
    const uint32_t flags = e->view->header->flags;
    if (flags & TINI_TOKENIZER_SPACES) {
        uint8_t *room = e->room + 1;
        *room = ' ';
        length = tini_spaces(text, length, room + prepend) + (size_t)prepend;
        encode_normalized(e, room, room, length);
    } else if ((flags & TINI_TOKENIZER_NFC) && tini_nfc_good(text, length) < length) {
        length = tini_nfc(text, length, e->room, e->words);
        encode_normalized(e, NULL, e->room, length);
    } else {
        encode_normalized(e, NULL, text, length);
    }
}

/* ---- Text ----------------------------------------------------------------------------------------------------- */

/* Bytes that `length` bytes of text have when they are normalized. This and what follows count in 64 bits: three times
 * TINI_TEXT_MAX fits 32, the words for it do not. */
static uint64_t normalized_size(const tini_tokenizer *view, uint64_t length) {
    const uint32_t flags = view->header->flags;
    return flags & TINI_TOKENIZER_NFC      ? TINI_NFC_GROWTH * length
           : flags & TINI_TOKENIZER_SPACES ? length + 2
                                           : 0;
}

static uint64_t scratch_words(const tini_tokenizer *view, uint64_t length) {
    uint64_t normalized = normalized_size(view, length);
    uint64_t words = tini_piece_words(view, normalized ? normalized : length);
    uint64_t nfc = view->header->flags & TINI_TOKENIZER_NFC ? TINI_NFC_WORDS(length) : 0;
    return words > nfc ? words : nfc;
}

uint64_t tini_tokenize_scratch(const tini_tokenizer *view, uint64_t length) {
    if (length > TINI_TEXT_MAX)
        length = TINI_TEXT_MAX; /* longer texts are refused */
    return sizeof(uint32_t) * scratch_words(view, length) + normalized_size(view, length);
}

int64_t tini_tokenize(const tini_tokenizer *view, const char *text, size_t length, uint32_t flags,
                      int32_t *tokens, size_t capacity, void *scratch, size_t scratch_size) {
    if (length > TINI_TEXT_MAX)
        return TIN_ERR_ARGUMENT;
    if (!scratch || scratch_size < tini_tokenize_scratch(view, length) || (uintptr_t)scratch % sizeof(uint32_t))
        return TIN_ERR_MEMORY;
    const uint8_t *bytes = (const uint8_t *)text;
    encoder e = {.view = view, .words = scratch, .out = {.tokens = tokens, .capacity = capacity, .last = -1}};
    e.room = (uint8_t *)(e.words + (size_t)scratch_words(view, length));
    e.want.control = (flags & TIN_TEXT_SPECIAL) != 0;
    e.first = !(flags & (TINI_TEXT_INNER | TINI_TEXT_JOINED));
    e.joined = (flags & TINI_TEXT_JOINED) != 0;
    if ((flags & TIN_TEXT_BOS) && (view->header->flags & TINI_TOKENIZER_ADD_BOS) && view->bos >= 0)
        tini_put(&e.out, view->bos);
    /* Of two specials that take the same white space the first has it, unless the second is itself white space: it is
     * searched for behind the first alone. */
    progress done = {0, 0};
    size_t at = 0;
    while (done.begin < length || at < length) {
        const tini_special *special;
        size_t place = find_special(view, bytes, at, length, e.want, &special);
        size_t begin = done.begin, end = end_before(&done, bytes, place, special);
        int prepend = (view->header->flags & TINI_TOKENIZER_PREPEND) && !e.joined;
        if (begin < end)
            encode_raw(&e, bytes + begin, end - begin, prepend);
        if (!special)
            break;
        tini_put(&e.out, (int32_t)special->token);
        e.first = e.joined = 0;
        at = place + special->length;
        go_behind(&done, bytes, length, at, special);
    }
    return (int64_t)e.out.count;
}
