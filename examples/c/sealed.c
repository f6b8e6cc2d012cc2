/* Runs nothing that its owner did not sign: sealed FILE.tin KEY [VERSION], where FILE.tin.minisig lies beside the file, KEY
 * is a minisign public key, the line "RW...", and VERSION the least that is taken, of a signature whose time is not over.
 * A product would have the key as a constant in its code, and keep the version that it ran last. */
#include "tin.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static tin_error error = {0, "a file can't be read, or there is no memory"};

static void check(int good) {
    if (!good)
        exit(fprintf(stderr, "refused: %s\n", error.text) ? 1 : 2);
}

static void *block(size_t size) { /* of zeros; a size of 0: the call that told it failed */
    char *memory = size ? calloc(size + TIN_ALIGNMENT, 1) : NULL;
    check(memory != NULL);
    return memory + TIN_ALIGNMENT - (uintptr_t)memory % TIN_ALIGNMENT;
}

static void *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    check(file && !fseek(file, 0, SEEK_END));
    *size = (size_t)ftell(file);
    void *data = block(*size);
    rewind(file);
    check(fread(data, 1, *size, file) == *size && !fclose(file));
    return data;
}

int main(int argc, char **argv) {
    if (argc != 3 && argc != 4)
        return fputs("usage: sealed FILE.tin KEY [VERSION]\n", stderr), 2;
    size_t size, signature_size;
    void *image = read_file(argv[1], &size);
    char *path = block(strlen(argv[1]) + sizeof ".minisig");
    strcat(strcpy(path, argv[1]), ".minisig");
    char *signature = read_file(path, &signature_size);
    tin_freshness asked = {0, 0};
    if (argc == 4)
        asked = (tin_freshness){(uint32_t)strtoul(argv[3], NULL, 10), time(NULL)};
    check(!tin_file_verify_fresh(image, size, signature, signature_size, argv[2], &asked, &error));

    tin_model *model; /* from here on, every byte is the owner's */
    size_t needed = tin_model_size(image, size, &error);
    check(!tin_model_create(image, size, NULL, block(needed), needed, &model, &error));
    tin_session_options options = {.context = 64};
    tin_session *session;
    needed = tin_session_size(model, &options, &error);
    check(!tin_session_create(model, &options, block(needed), needed, &session, &error));
    check(!tin_session_selftest(session, &error));
    puts("signed by the key's owner, and this machine computes the bits that were sealed");
    return 0;
}
