/* Asks a model about an image: see FILE.tin IMAGE QUESTION. The model is one that sees, the image a PNG or JPEG file;
 * a camera's RGB would go into tin_image as it lies. */
#include "tin.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TOKENS = 64, MOST_BYTES = 1 << 28 /* that an image may take while it is read */ };
static tin_error error = {
    0, "give a .tin file and an image that can be read, and a question; or there is no memory"};

static void check(int good) {
    if (!good)
        exit(fprintf(stderr, "error: %s\n", error.text) ? 1 : 2);
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
    check(argc == 4);
    size_t file_size, image_size;
    const void *file = read_file(argv[1], &file_size), *stored = read_file(argv[2], &image_size);
    tin_model *model;
    size_t size = tin_model_size(file, file_size, &error);
    check(size && !tin_model_create(file, file_size, NULL, block(size), size, &model, &error));

    tin_image_info read;
    check(!tin_image_look(stored, image_size, MOST_BYTES, &read, &error));
    uint8_t *rgb = block(read.rgb);
    check(!tin_image_read(stored, image_size, block(read.memory), read.memory, rgb, read.rgb, &error));
    const tin_image image = {rgb, (size_t)read.width * 3, read.width, read.height, 0};

    const tin_message question = {TIN_ROLE_USER, argv[3], strlen(argv[3])};
    const tin_vision_options how = {.images = &image, .image_count = 1, .flags = TIN_CHAT_ANSWER};
    tin_vision *vision;
    size = tin_vision_size(model, &question, 1, &how, &error);
    check(size && !tin_vision_create(model, &question, 1, &how, block(size), size, &vision, &error));
    tin_vision_info seen;
    tin_vision_describe(vision, &seen);

    const tin_session_options options = {
        .context = seen.tokens + MAX_TOKENS, .tiles = seen.tiles, .image_rows = seen.image_rows};
    tin_session *session;
    size = tin_session_size(model, &options, &error);
    check(size && !tin_session_create(model, &options, block(size), size, &session, &error));
    check(tin_vision_step(vision, session, 0, &error) ==
          TIN_STEP_DONE); /* with a budget: in slices of a frame */
    check(!tin_session_generate(session, NULL, MAX_TOKENS, 0, &error));
    while (tin_step(session, 0) == TIN_STEP_TOKEN) {
        uint32_t length;
        int control;
        const char *text = tin_token_text(model, tin_session_token(session), &length, &control);
        if (!control)
            fwrite(text, 1, length, stdout);
    }
    putchar('\n');
    fprintf(stderr, "%u tokens, of which %u stand for the image\n", seen.tokens, seen.image_rows);
    return 0;
}
