/* Memory as the core wants it, and whole files in such. A failure aborts. */
#ifndef WHOLE_FILE_H
#define WHOLE_FILE_H

#include "../../kernels/include/tin.h"

#include <stdio.h>
#include <stdlib.h>

static uint8_t *aligned(size_t size) {
    void *memory = NULL;
    if (posix_memalign(&memory, TIN_ALIGNMENT, size ? size : 1))
        abort();
    return memory;
}

static uint8_t *read_whole(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END))
        abort();
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = aligned(*size);
    if (fread(data, 1, *size, file) != *size)
        abort();
    fclose(file);
    return data;
}

#endif
