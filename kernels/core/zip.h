/* Stored ZIP archives, read in place (PKWARE APPNOTE 6.3.10, without ZIP64, compression or encryption). */
#ifndef TINI_ZIP_H
#define TINI_ZIP_H

#include "../include/tin.h"

typedef struct tini_zip {
    const uint8_t *file;
    size_t size;
    size_t directory; /* offset of the central directory */
    uint32_t entries;
} tini_zip;

/* Checks the central directory and every entry's place. */
tin_status tini_zip_open(tini_zip *zip, const uint8_t *file, size_t size, tin_error *error);

/* The bytes of entry `name`, in place; NULL when there is none. */
const uint8_t *tini_zip_find(const tini_zip *zip, const char *name, size_t *size);

/* A number that equal archives share: of the directory, which has every entry's name, size and CRC-32. */
uint64_t tini_zip_fingerprint(const tini_zip *zip);

#endif
