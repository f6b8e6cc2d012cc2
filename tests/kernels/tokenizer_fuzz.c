/* Opens damaged copies of a tokenizer.bin and, where one is accepted, tokenizes with it. Prints how many flipped
 * copies were refused and how many worked; a crash is the sanitizers' to report. More steps (steps.c) for a byte of text
 * than a sound file may take abort. */
#include "../../kernels/core/text/encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char sample[] =
    "import argparse\n\n  <|a|>bc <|end|>  'll 123 \xc3\xa9\xff self.self.self\x00 \xe3\x80\x80 x  <mask><tool>"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabaaab e\xcc\x81\xcc\xa3\xf0\x9d\x85\xa0\xe2\x96\x81 ab <0x0A>";

enum { STEPS_A_BYTE = 1000 }; /* the sound files here take 60 */

extern uint64_t steps;
static volatile uint32_t touched;

/* Copies to a block of just `size` bytes, so that reading past it is seen. */
static int works(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    tini_tokenizer view;
    tin_error error;
    int opened = tini_tokenizer_open(&view, copy, size, &error) == TIN_OK;
    if (opened) {
        size_t scratch_size = tini_tokenize_scratch(&view, sizeof sample);
        void *scratch = malloc(scratch_size);
        int32_t tokens[3 * sizeof sample + 2];
        for (uint32_t flags = 0; flags < 4; flags++) {
            uint64_t before = steps;
            int64_t n = tini_tokenize(&view, sample, sizeof sample, flags, tokens,
                                      sizeof tokens / sizeof *tokens, scratch, scratch_size);
            if (steps - before > STEPS_A_BYTE * sizeof sample)
                abort();
            for (int64_t i = 0; i < n; i++) {
                uint32_t length;
                const uint8_t *text = tini_token_bytes(&view, tokens[i], &length);
                if (!text)
                    abort();
                for (uint32_t k = 0; k < length; k++)
                    touched += text[k];
            }
        }
        free(scratch);
    }
    free(copy);
    return opened;
}

int main(int argc, char **argv) {
    static uint8_t data[1 << 20];
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!file)
        return 2;
    size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    if (!works(data, size))
        return 3;
    for (size_t cut = 0; cut < size; cut++)
        if (works(data, cut))
            return 4;
    uint32_t random = 1, refused = 0, worked = 0;
    for (int i = 0; i < 2000; i++) {
        random = random * 1664525u + 1013904223u;
        /* Every fourth in the header, where most is decided. */
        size_t at = (random >> 8) % (i % 4 ? size : sizeof(tini_tokenizer_header));
        uint8_t before = data[at];
        data[at] ^= (uint8_t)(1u << (random >> 5 & 7));
        if (works(data, size))
            worked++;
        else
            refused++;
        data[at] = before;
    }
    printf("%u %u\n", refused, worked);
    return 0;
}
