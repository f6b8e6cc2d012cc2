#include "minisign.h"
#include "../base/error.h"
#include "../base/region.h"
#include "blake2b.h"
#include "ed25519.h"

#include <string.h>

TINI_REGION_COLD

/* What the lines of base64 hold: a key is "Ed", its number, the point; a signature "ED" or "Ed", the number of its key,
 * the signature. */
enum { KEY_NUMBER = 2, KEY_BYTES = 42, SIGNED_BYTES = 74, GLOBAL_BYTES = 64 };

typedef struct text {
    const char *at, *end;
} text;

/* The next line, without its end. 1, or 0 when there is none. */
static int take_line(text *t, text *line) {
    if (t->at == t->end)
        return 0;
    const char *end = t->at;
    while (end < t->end && *end != '\n')
        end++;
    *line = (text){t->at, end > t->at && end[-1] == '\r' ? end - 1 : end};
    t->at = end < t->end ? end + 1 : end;
    return 1;
}

/* 1 when the line begins with `prefix`, which is then taken from it. */
static int take_prefix(text *line, const char *prefix, size_t length) {
    if ((size_t)(line->end - line->at) < length || memcmp(line->at, prefix, length))
        return 0;
    line->at += length;
    return 1;
}

static uint32_t base64_value(char c) {
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* 1 when the line is just `size` bytes in base64, in the one way to write them. */
static int decode_base64(const text *line, uint8_t *bytes, size_t size) {
    if ((size_t)(line->end - line->at) != (size + 2) / 3 * 4)
        return 0;
    const char *c = line->at;
    for (size_t at = 0; at < size; at += 3, c += 4) {
        size_t left = size - at;
        uint32_t word = 0;
        for (size_t k = 0; k < 4; k++) {
            uint32_t value = base64_value(c[k]);
            if (k > left) /* padding */
                value = c[k] == '=' ? 0 : 64;
            if (value == 64)
                return 0;
            word = word << 6 | value;
        }
        if (left < 3 && word & (left == 1 ? 0xffffu : 0xffu))
            return 0;
        for (size_t k = 0; k < 3 && k < left; k++)
            bytes[at + k] = (uint8_t)(word >> (16 - 8 * k));
    }
    return 1;
}

/* 1 when the text is a public key. */
static int read_key(text t, uint8_t key[KEY_BYTES]) {
    text line, rest;
    if (!take_line(&t, &line))
        return 0;
    if (take_prefix(&line, TINI_TEXT("untrusted comment:")) && !take_line(&t, &line))
        return 0;
    return !take_line(&t, &rest) && decode_base64(&line, key, KEY_BYTES) && key[0] == 'E' && key[1] == 'd';
}

/* A key's number as minisign prints it. */
static void number_text(const uint8_t number[8], char out[17]) {
    for (int k = 0; k < 16; k++)
        out[k] = "0123456789ABCDEF"[number[7 - k / 2] >> (k % 2 ? 0 : 4) & 15];
    out[16] = 0;
}

/* A number of up to `digits` digits, without leading zeros unless it has just as many. 1, or 0 when it is none. */
static int read_number(text t, size_t digits, int fixed, uint64_t *number) {
    size_t count = (size_t)(t.end - t.at);
    if (!count || count > digits || (fixed ? count != digits : *t.at == '0'))
        return 0;
    for (*number = 0; t.at < t.end; t.at++) {
        if (*t.at < '0' || *t.at > '9')
            return 0;
        *number = *number * 10 + (uint64_t)(*t.at - '0');
    }
    return 1;
}

int tini_read_day(const char *at, size_t length, int64_t *end) {
    static const uint8_t lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t year, month, day;
    if (length != 10 || at[4] != '-' || at[7] != '-' || !read_number((text){at, at + 4}, 4, 1, &year) ||
        !read_number((text){at + 5, at + 7}, 2, 1, &month) || !read_number((text){at + 8, at + 10}, 2, 1, &day))
        return 0;
    uint64_t leap = year % 4 == 0 && (year % 100 || year % 400 == 0);
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > lengths[month - 1] + (month == 2 ? leap : 0))
        return 0;
    uint64_t before = year - 1, days = (year - 1970) * 365 + day;
    days += before / 4 - before / 100 + before / 400 - 477; /* leap years from 1970 on; 477 were before */
    for (uint64_t m = 1; m < month; m++)
        days += lengths[m - 1] + (m == 2 ? leap : 0);
    *end = (int64_t)days * 86400;
    return 1;
}

/* Does the trusted comment state what is asked? Words that are neither of the two are free. */
static tin_status check_fresh(text comment, const tin_freshness *asked, tin_error *error) {
    uint64_t version = 0;
    int64_t end = 0;
    text day = comment;
    int first = 1, tells = 0;
    if (!asked || (!asked->min_version && !asked->now))
        return TIN_OK;
    while (comment.at < comment.end) {
        text word = comment;
        while (comment.at < comment.end && *comment.at != ' ')
            comment.at++;
        word.end = comment.at;
        comment.at += comment.at < comment.end;
        if (first)
            tells = word.end - word.at == 8 && !memcmp(word.at, "tinsmith", 8);
        first = 0;
        int damaged = 0;
        if (tells && take_prefix(&word, TINI_TEXT("version=")))
            damaged = version || !read_number(word, 10, 0, &version) || version > UINT32_MAX;
        else if (tells && take_prefix(&word, TINI_TEXT("not-after="))) {
            damaged = end || !tini_read_day(word.at, (size_t)(word.end - word.at), &end);
            day = word;
        }
        if (damaged)
            return tini_fail(error, TIN_ERR_SIGNATURE, "the trusted comment's version or not-after is not one");
    }
    if (asked->min_version && !version)
        return tini_fail(error, TIN_ERR_SIGNATURE,
                         "the signature states no version, and %u is the least that is taken",
                         asked->min_version);
    if (version < asked->min_version)
        return tini_fail(error, TIN_ERR_SIGNATURE,
                         "the signature is of version %u, and %u is the least that is taken", (uint32_t)version,
                         asked->min_version);
    if (asked->now && end && asked->now >= end) {
        char date[11] = "";
        memcpy(date, day.at, 10);
        return tini_fail(error, TIN_ERR_SIGNATURE, "the signature was good until %s", date);
    }
    return TIN_OK;
}

tin_status tini_minisign_verify(const uint8_t *message, size_t size, const char *signature, size_t length,
                                const char *key_text, size_t key_length, const tin_freshness *asked,
                                tin_error *error) {
    uint8_t key[KEY_BYTES], sealed[SIGNED_BYTES], global[GLOBAL_BYTES], digest[64];
    if (!key_text || !read_key((text){key_text, key_text + key_length}, key))
        return tini_fail(error, TIN_ERR_ARGUMENT,
                         "the key is no minisign public key; give the line RW..., or the text of a .pub file");
    if (!signature)
        return tini_fail(error, TIN_ERR_SIGNATURE, "a signature is asked for, and there is none");
    text t = {signature, signature + length}, first, line, comment, last, more;
    if (!take_line(&t, &first) || !take_prefix(&first, TINI_TEXT("untrusted comment:")) ||
        !take_line(&t, &line) || !take_line(&t, &comment) ||
        !take_prefix(&comment, TINI_TEXT("trusted comment: ")) || !take_line(&t, &last) ||
        take_line(&t, &more) || !decode_base64(&line, sealed, SIGNED_BYTES) ||
        !decode_base64(&last, global, GLOBAL_BYTES) || sealed[0] != 'E' || (sealed[1] | 32) != 'd')
        return tini_fail(error, TIN_ERR_SIGNATURE, "the signature is damaged, or no minisign signature");
    if (memcmp(sealed + KEY_NUMBER, key + KEY_NUMBER, 8)) {
        char theirs[17], ours[17];
        number_text(sealed + KEY_NUMBER, theirs);
        number_text(key + KEY_NUMBER, ours);
        return tini_fail(error, TIN_ERR_SIGNATURE, "the signature is by the key %s, and not by %s", theirs,
                         ours);
    }
    if (sealed[1] == 'D') {
        tini_blake2b(message, size, digest);
        message = digest;
        size = sizeof digest;
    }
    const uint8_t *point = key + 10, *own = sealed + 10;
    if (!tini_ed25519_verify(own, point, message, size, NULL, 0))
        return tini_fail(error, TIN_ERR_SIGNATURE, "the signature is not of this content");
    if (!tini_ed25519_verify(global, point, own, 64, (const uint8_t *)comment.at,
                             (size_t)(comment.end - comment.at)))
        return tini_fail(error, TIN_ERR_SIGNATURE, "the trusted comment is not the one that was signed");
    return check_fresh(comment, asked, error);
}

TINI_REGION_END
