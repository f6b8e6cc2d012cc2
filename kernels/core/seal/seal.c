/* Is a file the one that was sealed? Every byte is held to the manifest: the entries' data to its digests, headers,
 * padding and directory to the one way in which the writer has them, and the manifest itself to a signature. */
#include "../base/error.h"
#include "../base/region.h"
#include "minisign.h"
#include "sha256.h"
#include "zip.h"

#include <string.h>

TINI_REGION_COLD

/* What is left of the manifest, which is JSON just as Python's json.dumps(indent=1, sort_keys=True) writes it: in no
 * string stands a line break, so a line of the text is a line of the structure. */
enum { LONGEST_KEY = 4096 };

typedef struct listing {
    const uint8_t *at, *end;
} listing;

static int take(listing *m, const char *text, size_t length) {
    if ((size_t)(m->end - m->at) < length || memcmp(m->at, text, length))
        return 0;
    m->at += length;
    return 1;
}

/* Moves behind the first `text`. */
static int seek(listing *m, const char *text, size_t length) {
    for (; m->at < m->end; m->at++)
        if (take(m, text, length))
            return 1;
    return 0;
}

static int take_number(listing *m, uint64_t number) {
    char digits[20];
    size_t count = 0;
    do
        digits[19 - count++] = (char)('0' + number % 10);
    while (number /= 10);
    return take(m, digits + 20 - count, count);
}

static int take_digest(listing *m, const uint8_t *data, size_t size) {
    char hex[64];
    uint8_t digest[32];
    tini_sha256 hash = tini_sha256_begin();
    tini_sha256_add(&hash, data, size);
    tini_sha256_end(&hash, digest);
    for (int k = 0; k < 64; k++)
        hex[k] = "0123456789abcdef"[digest[k / 2] >> (k % 2 ? 0 : 4) & 15];
    return take(m, hex, sizeof hex);
}

/* Moves to what the manifest lists of an entry. */
static int find_entry(listing *m, const tini_zip_entry *e) {
    while (seek(m, TINI_TEXT("\n  \"")))
        if (take(m, (const char *)e->name, e->name_length) && take(m, TINI_TEXT("\": {\n   \"bytes\": ")))
            return 1;
    return 0;
}

/* The bytes of a text that ends with NUL, at most LONGEST_KEY: no strlen, which a bare machine may lack. */
static size_t length_of(const char *text) {
    size_t length = 0;
    while (length < LONGEST_KEY && text[length])
        length++;
    return length;
}

/* How many entries the manifest lists. */
static uint32_t count_entries(listing m) {
    uint32_t count = 0;
    while (seek(&m, TINI_TEXT("\": {\n   \"bytes\": ")))
        count++;
    return count;
}

static tin_status check_digests(const tini_zip *zip, const listing *manifest, tin_error *error) {
    listing m = *manifest, entries, rest;
    if (!seek(&m, TINI_TEXT("\n \"directory\": \"")))
        return tini_fail(error, TIN_ERR_FORMAT,
                         "the tin was sealed before every byte was accounted for; build it again");
    const uint8_t *directory = zip->file + zip->directory;
    if (!take_digest(&m, directory, zip->manifest - zip->directory))
        return tini_fail(error, TIN_ERR_FORMAT, "the tin's directory is not the one that its manifest lists");
    entries = *manifest;
    if (!seek(&entries, TINI_TEXT("\n \"entries\": {")))
        return tini_fail(error, TIN_ERR_FORMAT, "the tin's manifest lists no entries");
    rest = entries;
    if (seek(&rest, TINI_TEXT("\n }")))
        entries.end = rest.at - 2;
    if (count_entries(entries) != zip->entries - 1)
        return tini_fail(error, TIN_ERR_FORMAT, "the tin's manifest lists other entries than there are");
    size_t offset = zip->directory;
    tini_zip_entry e;
    while (offset < zip->manifest && tini_zip_next(zip, &offset, &e)) {
        m = entries;
        if (!find_entry(&m, &e) || !take_number(&m, e.size) || !take(&m, TINI_TEXT(",\n   \"sha256\": \"")) ||
            !take_digest(&m, e.data, e.size)) {
            char name[64] = "";
            memcpy(name, e.name, e.name_length < sizeof name ? e.name_length : sizeof name - 1);
            return tini_fail(error, TIN_ERR_FORMAT, "%s is not what the tin's manifest lists", name);
        }
    }
    return TIN_OK;
}

tin_status tin_file_verify(const void *file, size_t size, const char *signature, size_t signature_size,
                           const char *key, tin_error *error) {
    return tin_file_verify_fresh(file, size, signature, signature_size, key, NULL, error);
}

tin_status tin_file_verify_fresh(const void *file, size_t size, const char *signature, size_t signature_size,
                                 const char *key, const tin_freshness *asked, tin_error *error) {
    tini_zip zip;
    if (!file)
        return tini_fail(error, TIN_ERR_ARGUMENT, "the file image is missing");
    if (asked && (asked->now < 0 || (!key && (asked->min_version || asked->now))))
        return tini_fail(error, TIN_ERR_ARGUMENT,
                         key ? "it is before 1970; set the clock"
                             : "a version and a day are of a key's owner; give the key");
    tin_status status = tini_zip_open(&zip, file, size, error);
    if (!status)
        status = tini_zip_sealed(&zip, error);
    if (status)
        return status;
    size_t manifest_size;
    const uint8_t *manifest = tini_zip_find(&zip, "manifest.json", &manifest_size);
    if (!manifest)
        return tini_fail(error, TIN_ERR_FORMAT, "the tin has no manifest.json");
    if (key)
        status = tini_minisign_verify(manifest, manifest_size, signature, signature_size, key, length_of(key),
                                      asked, error);
    if (status)
        return status;
    listing all = {manifest, manifest + manifest_size};
    return check_digests(&zip, &all, error);
}

TINI_REGION_END
