#include "zip.h"
#include "error.h"
#include "hash.h"
#include "region.h"

TINI_REGION_COLD

enum { END_BYTES = 22, CENTRAL_BYTES = 46, LOCAL_BYTES = 30 };

static uint32_t u16(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t u32(const uint8_t *p) {
    return u16(p) | u16(p + 2) << 16;
}

/* One entry of the central directory at `offset`; `next` is where the following one begins. */
typedef struct entry {
    const uint8_t *name, *data;
    size_t name_length, size, next;
} entry;

/* 0, or what is wrong. */
static const char *read_entry(const tini_zip *zip, size_t offset, size_t end, entry *e) {
    if (offset > end || end - offset < CENTRAL_BYTES)
        return "its directory is cut short";
    const uint8_t *c = zip->file + offset;
    if (u32(c) != 0x02014b50)
        return "its directory is damaged";
    size_t variable = (size_t)u16(c + 28) + u16(c + 30) + u16(c + 32);
    if (end - offset - CENTRAL_BYTES < variable)
        return "its directory is cut short";
    if (u16(c + 8) & 1)
        return "an entry is encrypted";
    if (u16(c + 10) != 0 || u32(c + 20) != u32(c + 24))
        return "an entry is compressed; a tin's entries are stored";
    size_t local = u32(c + 42), size = u32(c + 24);
    if (local > zip->directory || zip->directory - local < LOCAL_BYTES || u32(zip->file + local) != 0x04034b50)
        return "an entry's place is damaged";
    size_t data = local + LOCAL_BYTES + u16(zip->file + local + 26) + u16(zip->file + local + 28);
    if (data > zip->directory || zip->directory - data < size)
        return "an entry reaches past its directory";
    e->name = c + CENTRAL_BYTES;
    e->name_length = u16(c + 28);
    e->data = zip->file + data;
    e->size = size;
    e->next = offset + CENTRAL_BYTES + variable;
    return NULL;
}

tin_status tini_zip_open(tini_zip *zip, const uint8_t *file, size_t size, tin_error *error) {
    if (size < END_BYTES)
        return tini_fail(error, TIN_ERR_FORMAT, "not a tin: it has only %llu bytes", (unsigned long long)size);
    /* Our writer leaves no archive comment, so the end record is the last 22 bytes. */
    const uint8_t *end = file + size - END_BYTES;
    if (u32(end) != 0x06054b50)
        return tini_fail(error, TIN_ERR_FORMAT, "not a tin, or cut short: no ZIP directory at its end");
    zip->file = file;
    zip->size = size;
    zip->entries = u16(end + 10);
    zip->directory = u32(end + 16);
    size_t directory_end = size - END_BYTES;
    if (zip->directory > directory_end || directory_end - zip->directory != u32(end + 12))
        return tini_fail(error, TIN_ERR_FORMAT, "the tin is damaged: its directory is misplaced");

    size_t offset = zip->directory;
    for (uint32_t k = 0; k < zip->entries; k++) {
        entry e;
        const char *wrong = read_entry(zip, offset, directory_end, &e);
        if (wrong)
            return tini_fail(error, TIN_ERR_FORMAT, "the tin is damaged: %s", wrong);
        offset = e.next;
    }
    if (offset != directory_end)
        return tini_fail(error, TIN_ERR_FORMAT,
                         "the tin is damaged: its directory has %u entries and more bytes", zip->entries);
    return TIN_OK;
}

static int same_name(const entry *e, const char *name) {
    size_t k = 0;
    while (k < e->name_length && name[k] && e->name[k] == (uint8_t)name[k])
        k++;
    return k == e->name_length && !name[k];
}

const uint8_t *tini_zip_find(const tini_zip *zip, const char *name, size_t *size) {
    size_t offset = zip->directory;
    for (uint32_t k = 0; k < zip->entries; k++) {
        entry e;
        if (read_entry(zip, offset, zip->size - END_BYTES, &e))
            return NULL;
        if (same_name(&e, name)) {
            *size = e.size;
            return e.data;
        }
        offset = e.next;
    }
    return NULL;
}

uint64_t tini_zip_fingerprint(const tini_zip *zip) {
    return tini_hash(zip->file + zip->directory, zip->size - END_BYTES - zip->directory, 0);
}

TINI_REGION_END
