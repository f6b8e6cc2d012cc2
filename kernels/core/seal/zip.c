#include "zip.h"
#include "../base/error.h"
#include "../base/hash.h"
#include "../base/region.h"

#include <string.h>

TINI_REGION_COLD

enum { END_BYTES = 22, CENTRAL_BYTES = 46, LOCAL_BYTES = 30 };

static uint32_t u16(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t u32(const uint8_t *p) {
    return u16(p) | u16(p + 2) << 16;
}

/* One entry of the central directory at `*at`, which moves to the following one. 0, or what is wrong. */
static const char *read_entry(const tini_zip *zip, size_t *at, size_t end, tini_zip_entry *e) {
    size_t offset = *at;
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
    size_t room = zip->directory - local - LOCAL_BYTES;
    size_t names = (size_t)u16(zip->file + local + 26) + u16(zip->file + local + 28);
    if (names > room || room - names < size)
        return "an entry reaches past its directory";
    size_t data = local + LOCAL_BYTES + names;
    e->name = c + CENTRAL_BYTES;
    e->name_length = u16(c + 28);
    e->data = zip->file + data;
    e->size = size;
    e->local = local;
    *at = offset + CENTRAL_BYTES + variable;
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
        tini_zip_entry e;
        const char *wrong = read_entry(zip, &offset, directory_end, &e);
        if (wrong)
            return tini_fail(error, TIN_ERR_FORMAT, "the tin is damaged: %s", wrong);
    }
    if (offset != directory_end)
        return tini_fail(error, TIN_ERR_FORMAT,
                         "the tin is damaged: its directory has %u entries and more bytes", zip->entries);
    return TIN_OK;
}

int tini_zip_next(const tini_zip *zip, size_t *offset, tini_zip_entry *entry) {
    return !read_entry(zip, offset, zip->size - END_BYTES, entry);
}

static int same_name(const tini_zip_entry *e, const char *name) {
    size_t k = 0;
    while (k < e->name_length && name[k] && e->name[k] == (uint8_t)name[k])
        k++;
    return k == e->name_length && !name[k];
}

const uint8_t *tini_zip_find(const tini_zip *zip, const char *name, size_t *size) {
    size_t offset = zip->directory;
    for (uint32_t k = 0; k < zip->entries; k++) {
        tini_zip_entry e;
        if (!tini_zip_next(zip, &offset, &e))
            return NULL;
        if (same_name(&e, name)) {
            *size = e.size;
            return e.data;
        }
    }
    return NULL;
}

/* CRC-32 of ZIP (polynomial 0xEDB88320), a bit at a time: it is of the manifest alone. */
static uint32_t crc32_of(const uint8_t *data, size_t size) {
    uint32_t crc = 0xffffffff;
    for (size_t k = 0; k < size; k++) {
        crc ^= data[k];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xedb88320 & (0u - (crc & 1)));
    }
    return ~crc;
}

static uint8_t *put_bytes(uint8_t *to, uint32_t value, size_t bytes) {
    for (size_t k = 0; k < bytes; k++)
        *to++ = (uint8_t)(value >> 8 * k);
    return to;
}

enum { PAGE = 4096, ALIGN_BYTES = 6, DATE = 0x21 };

/* What both headers of an entry say, in 26 bytes: version, flags, method, time, date, CRC, sizes, length of the name. */
static uint8_t *put_facts(uint8_t *to, const tini_zip_entry *e, uint32_t crc) {
    to = put_bytes(put_bytes(put_bytes(put_bytes(to, 10, 2), 0, 4), 0, 2), DATE, 2);
    return put_bytes(put_bytes(put_bytes(put_bytes(to, crc, 4), (uint32_t)e->size, 4), (uint32_t)e->size, 4),
                     (uint32_t)e->name_length, 2);
}

/* Is the record c, and what stands between `position` and the entry's data, as the writer has it? */
static int entry_sealed(const tini_zip *zip, const uint8_t *c, const tini_zip_entry *e, size_t position) {
    uint8_t head[CENTRAL_BYTES];
    uint32_t crc = u32(c + 16);
    put_bytes(
        put_bytes(put_bytes(put_facts(put_bytes(put_bytes(head, 0x02014b50, 4), 10, 2), e, crc), 0, 4), 0, 4),
        0, 4);
    put_bytes(head + CENTRAL_BYTES - 4, (uint32_t)e->local, 4);
    if (memcmp(head, c, CENTRAL_BYTES) || e->local != position)
        return 0;
    size_t padding = PAGE - (position + LOCAL_BYTES + e->name_length) % PAGE;
    if (padding == PAGE)
        padding = 0;
    if (padding < ALIGN_BYTES)
        padding += PAGE;
    const uint8_t *local = zip->file + position, *name = local + LOCAL_BYTES;
    put_bytes(put_facts(put_bytes(head, 0x04034b50, 4), e, crc), (uint32_t)padding, 2);
    if (memcmp(head, local, LOCAL_BYTES) || memcmp(name, e->name, e->name_length))
        return 0;
    const uint8_t *fill = name + e->name_length;
    put_bytes(put_bytes(put_bytes(head, 0xd935, 2), (uint32_t)padding - 4, 2), PAGE, 2);
    if (memcmp(head, fill, ALIGN_BYTES))
        return 0;
    for (size_t k = ALIGN_BYTES; k < padding; k++)
        if (fill[k])
            return 0;
    return e->data == fill + padding;
}

tin_status tini_zip_sealed(tini_zip *zip, tin_error *error) {
    size_t offset = zip->directory, position = 0;
    tini_zip_entry e = {0};
    for (uint32_t k = 0; k < zip->entries; k++) {
        zip->manifest = offset;
        if (!tini_zip_next(zip, &offset, &e) || !entry_sealed(zip, zip->file + zip->manifest, &e, position))
            return tini_fail(error, TIN_ERR_FORMAT, "the tin was changed: around the data of entry %u", k + 1);
        position = (size_t)(e.data - zip->file) + e.size;
    }
    uint8_t end[END_BYTES];
    put_bytes(
        put_bytes(put_bytes(put_bytes(put_bytes(end, 0x06054b50, 4), 0, 4), zip->entries, 2), zip->entries, 2),
        (uint32_t)(offset - zip->directory), 4);
    put_bytes(put_bytes(end + 16, (uint32_t)zip->directory, 4), 0, 2);
    if (position != zip->directory || memcmp(end, zip->file + offset, END_BYTES))
        return tini_fail(error, TIN_ERR_FORMAT, "the tin was changed: its directory");
    if (!zip->entries || !same_name(&e, "manifest.json") ||
        crc32_of(e.data, e.size) != u32(zip->file + zip->manifest + 16))
        return tini_fail(error, TIN_ERR_FORMAT, "the tin was changed: its manifest");
    return TIN_OK;
}

uint64_t tini_zip_fingerprint(const tini_zip *zip) {
    return tini_hash(zip->file + zip->directory, zip->size - END_BYTES - zip->directory, 0);
}

TINI_REGION_END
