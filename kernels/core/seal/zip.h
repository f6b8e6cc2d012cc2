/* Stored ZIP archives, read in place (PKWARE APPNOTE 6.3.10, without ZIP64, compression or encryption). */
#ifndef TINI_ZIP_H
#define TINI_ZIP_H

#include "../../include/tin.h"

typedef struct tini_zip {
    const uint8_t *file;
    size_t size;
    size_t directory; /* offset of the central directory */
    uint32_t entries;
    size_t manifest; /* offset of its record in the directory, once tini_zip_sealed has found it */
} tini_zip;

/* One entry, in place. */
typedef struct tini_zip_entry {
    const uint8_t *name, *data;
    size_t name_length, size;
    size_t local; /* offset of its local header */
} tini_zip_entry;

/* Checks the central directory and every entry's place. */
tin_status tini_zip_open(tini_zip *zip, const uint8_t *file, size_t size, tin_error *error);

/* The bytes of entry `name`, in place; NULL when there is none. */
const uint8_t *tini_zip_find(const tini_zip *zip, const char *name, size_t *size);

/* The entry whose record is at *offset of the file, which moves to the next; 0 when there is none there. */
int tini_zip_next(const tini_zip *zip, size_t *offset, tini_zip_entry *entry);

/* Checks that every byte which is no entry's data is as formats/tin.py writes it, and that the manifest is the last
 * entry; sets zip->manifest. */
tin_status tini_zip_sealed(tini_zip *zip, tin_error *error);

/* A number that equal archives share: of the directory, which has every entry's name, size and CRC-32. */
uint64_t tini_zip_fingerprint(const tini_zip *zip);

#endif
