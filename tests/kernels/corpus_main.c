/* In place of libFuzzer where there is none: gives a fuzzer each file of some folders once, and prints how many.
 *
 *   image_fuzz FOLDER... */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 1 << 16 };

int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak)); /* some have none */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* 0 where it can't be read. */
static int give(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(MOST);
    if (!file || !data)
        return 0;
    size_t size = fread(data, 1, MOST, file);
    fclose(file);
    uint8_t *input =
        realloc(data, size ? size : 1); /* just that, so that a sanitizer sees what reads past it */
    if (!input)
        return 0;
    LLVMFuzzerTestOneInput(input, size);
    free(input);
    return 1;
}

int main(int count, char **folders) {
    unsigned given = 0;
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&count, &folders);
    for (int k = 1; k < count; k++) {
        DIR *folder = opendir(folders[k]);
        const struct dirent *entry;
        if (!folder)
            return 2;
        while ((entry = readdir(folder)) != NULL)
            if (entry->d_name[0] != '.') {
                if (!give(folders[k], entry->d_name))
                    return 2;
                given++;
            }
        closedir(folder);
    }
    printf("%u\n", given);
    return 0;
}
