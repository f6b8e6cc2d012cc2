#include "normalize.h"
#include "../base/utf8.h"
#include "nfc.h"
#include "unicode.h"

#include <string.h>

enum { CARE = 8, ORDER_SHIFT = 24, SHORT_RUN = 32 };

/* Hangul is computed: a syllable is SYLLABLE + (lead * VOWELS + vowel) * FINALS + final, final 0 being none. */
enum { LEAD = 0x1100, VOWEL = 0x1161, FINAL = 0x11A7, SYLLABLE = 0xAC00 };
enum { LEADS = 19, VOWELS = 21, FINALS = 28, SYLLABLES = LEADS * VOWELS * FINALS };

/* ---- Tables ------------------------------------------------------------------------------------------------- */

/* How many of ascending values[count], read by their low 24 bits, are at most `key`. */
static uint32_t up_to(const uint32_t *values, uint32_t count, uint32_t key) {
    uint32_t low = 0;
    while (low < count) {
        uint32_t middle = (low + count) / 2;
        if ((values[middle] & 0xFFFFFF) <= key)
            low = middle + 1;
        else
            count = middle;
    }
    return low;
}

static uint32_t combining_class(uint32_t code) {
    uint32_t k = up_to(tini_nfc_runs, TINI_NFC_RUNS, code);
    if (!k || code - (tini_nfc_runs[k - 1] & 0xFFFFFF) >= tini_nfc_runs[k - 1] >> 24)
        return 0;
    return tini_nfc_orders[k - 1];
}

/* The place of a character's decomposition; TINI_NFC_PAIRS when it has none. */
static uint32_t pair_of(uint32_t code) {
    uint32_t k = up_to(tini_nfc_spans, TINI_NFC_SPANS, code);
    if (!k)
        return TINI_NFC_PAIRS;
    uint32_t place = tini_nfc_places[k - 1] + (code - tini_nfc_spans[k - 1]);
    return place < tini_nfc_places[k] ? place : TINI_NFC_PAIRS;
}

/* The character whose decomposition is at a place, and its two parts. */
static uint32_t whole_at(uint32_t place) {
    uint32_t low = 0, high = TINI_NFC_SPANS;
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        if (tini_nfc_places[middle] <= place)
            low = middle;
        else
            high = middle;
    }
    return tini_nfc_spans[low] + (place - tini_nfc_places[low]);
}

static uint32_t first_at(uint32_t place) {
    return (tini_nfc_seconds[tini_nfc_kinds[place]] >> 24) << 16 | tini_nfc_firsts[place];
}

static uint32_t second_at(uint32_t place) {
    return tini_nfc_seconds[tini_nfc_kinds[place]] & 0xFFFFFF;
}

/* The character that two make; 0 when there is none. */
static uint32_t composed(uint32_t first, uint32_t second) {
    if (first - LEAD < LEADS && second - VOWEL < VOWELS)
        return SYLLABLE + ((first - LEAD) * VOWELS + (second - VOWEL)) * FINALS;
    if (first - SYLLABLE < SYLLABLES && (first - SYLLABLE) % FINALS == 0 && second - FINAL - 1 < FINALS - 1)
        return first + (second - FINAL);
    uint32_t low = 0, high = TINI_NFC_COMPOSED;
    while (low < high) {
        uint32_t middle = (low + high) / 2, k = tini_nfc_composed[middle];
        uint32_t a = first_at(k), b = second_at(k);
        if (a == first && b == second)
            return whole_at(k);
        if (a < first || (a == first && b < second))
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

/* ---- A run of characters ------------------------------------------------------------------------------------ */

/* Adds the full decomposition of a character, each with its combining class in the high byte; the new count. */
static uint32_t decompose(uint32_t code, uint32_t *out, uint32_t count) {
    uint32_t seconds[8], depth = 0, at;
    if (code - SYLLABLE < SYLLABLES) {
        uint32_t s = code - SYLLABLE, final = s % FINALS;
        out[count++] = LEAD + s / (VOWELS * FINALS);
        out[count++] = VOWEL + s / FINALS % VOWELS;
        if (final)
            out[count++] = FINAL + final;
        return count;
    }
    while (depth < 8 && (at = pair_of(code)) != TINI_NFC_PAIRS) {
        uint32_t second = second_at(at);
        if (second)
            seconds[depth++] = second;
        code = first_at(at);
    }
    out[count++] = code | combining_class(code) << ORDER_SHIFT;
    while (depth)
        count = decompose(seconds[--depth], out, count);
    return count;
}

/* Puts marks[count] in the order of their classes; those of one class keep theirs. */
static void sort_marks(uint32_t *marks, uint32_t count, uint32_t *room) {
    if (count <= SHORT_RUN) {
        for (uint32_t i = 1; i < count; i++) {
            uint32_t mark = marks[i], k = i;
            for (; k && marks[k - 1] >> ORDER_SHIFT > mark >> ORDER_SHIFT; k--)
                marks[k] = marks[k - 1];
            marks[k] = mark;
        }
        return;
    }
    uint32_t starts[257] = {0};
    for (uint32_t i = 0; i < count; i++)
        starts[(marks[i] >> ORDER_SHIFT) + 1]++;
    for (uint32_t order = 0; order < 256; order++)
        starts[order + 1] += starts[order];
    for (uint32_t i = 0; i < count; i++)
        room[starts[marks[i] >> ORDER_SHIFT]++] = marks[i];
    memcpy(marks, room, count * sizeof *marks);
}

/* Composes sorted characters in place; how many are left. A mark is blocked by one before it of its own class or a
 * higher one, or by a starter. */
static uint32_t compose(uint32_t *codes, uint32_t count) {
    uint32_t kept = 0, starter = UINT32_MAX, last = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t code = codes[i] & 0xFFFFFF, order = codes[i] >> ORDER_SHIFT, whole = 0;
        int reached = starter != UINT32_MAX && (kept == starter + 1 || last < order);
        if (reached)
            whole = composed(codes[starter] & 0xFFFFFF, code);
        if (whole) {
            codes[starter] = whole;
            continue;
        }
        if (!order)
            starter = kept;
        last = order;
        codes[kept++] = codes[i];
    }
    return kept;
}

static size_t write_run(const uint8_t *text, size_t length, uint8_t *out, uint32_t *words) {
    uint32_t count = 0, first = 0;
    for (size_t at = 0; at < length;) {
        uint32_t code;
        at += tini_utf8_read(text + at, length - at, &code);
        count = decompose(code, words, count);
    }
    for (uint32_t i = 0; i <= count; i++)
        if (i == count || !(words[i] >> ORDER_SHIFT)) {
            sort_marks(words + first, i - first, words + count);
            first = i + 1;
        }
    count = compose(words, count);
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += tini_utf8_write(words[i] & 0xFFFFFF, out + bytes);
    return bytes;
}

/* ---- Text --------------------------------------------------------------------------------------------------- */

/* Bytes of text[length] that nothing can change but, of the last character, what follows. `last`: where that one
 * begins. No character below U+0300 needs care, so no byte below 0xCC begins one. */
static size_t skip_good(const uint8_t *text, size_t length, size_t *last) {
    size_t at = 0;
    *last = 0;
    while (at < length) {
        uint64_t eight;
        if (length - at >= 8 && (memcpy(&eight, text + at, 8), !(eight & 0x8080808080808080u))) {
            at += 8;
            *last = at - 1;
            continue;
        }
        uint32_t code, bytes = tini_utf8_read(text + at, length - at, &code);
        if (code >= 0x300 && code != TINI_NO_CODE && (tini_unicode_entry(code) & CARE))
            return at;
        *last = at;
        at += bytes;
    }
    return at;
}

size_t tini_nfc_good(const uint8_t *text, size_t length) {
    size_t last;
    size_t good = skip_good(text, length, &last);
    return good == length ? length : last;
}

/* Bytes of the run that text[length] begins with: a character, and all behind it that need care. */
static size_t run_length(const uint8_t *text, size_t length) {
    uint32_t code;
    size_t at = tini_utf8_read(text, length, &code);
    while (at < length) {
        uint32_t bytes = tini_utf8_read(text + at, length - at, &code);
        if (code == TINI_NO_CODE || !(tini_unicode_entry(code) & CARE))
            break;
        at += bytes;
    }
    return at;
}

size_t tini_nfc(const uint8_t *text, size_t length, uint8_t *out, uint32_t *words) {
    size_t written = 0, at = 0;
    while (at < length) {
        size_t good = tini_nfc_good(text + at, length - at);
        memcpy(out + written, text + at, good);
        written += good;
        at += good;
        if (at == length)
            break;
        uint32_t code;
        tini_utf8_read(text + at, length - at, &code);
        if (code == TINI_NO_CODE) { /* it takes no mark */
            out[written++] = text[at++];
            continue;
        }
        size_t run = run_length(text + at, length - at);
        written += write_run(text + at, run, out + written, words);
        at += run;
    }
    return written;
}

size_t tini_spaces(const uint8_t *text, size_t length, uint8_t *out) {
    size_t written = 0;
    for (size_t at = 0; at < length; at++) {
        int space = text[at] == 0xE2 && length - at >= 3 && text[at + 1] == 0x96 && text[at + 2] == 0x81;
        out[written++] = space ? ' ' : text[at];
        at += space ? 2 : 0;
    }
    return written;
}
