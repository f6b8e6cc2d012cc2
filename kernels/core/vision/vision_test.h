/* A file's self-test of its vision model, read in place: an image among a prompt's tokens.
 *
 * vision/selftest.bin, little-endian, written by compiler/selftest.py: tini_vision_test_header, its int32 tokens, its PNG file. The
 * rules make one tile of the image, whose rows are the tokens that are TIN_EMBEDDED. */
#ifndef TINI_VISION_TEST_H
#define TINI_VISION_TEST_H

#include "../seal/model.h"

#define TINI_VISION_TEST_ENTRY "vision/selftest.bin"
#define TINI_VISION_TEST_MAGIC 0x53455945u /* four ASCII letters, little-endian */
#define TINI_VISION_TEST_VERSION 1u
#define TINI_VISION_TEST_DIGEST 32u

typedef struct tini_vision_test_header {
    uint32_t magic, version;
    tin_pixels_rules rules;
    uint32_t tokens, image; /* how many; bytes of the PNG file */
    uint8_t
        digest[TINI_VISION_TEST_DIGEST]; /* SHA-256 of the float32 logits of every position behind the image */
} tini_vision_test_header;
_Static_assert(sizeof(tini_vision_test_header) == 144, "laid out alike everywhere");

/* Bytes that tini_vision_test_digest needs, its session and the encoder among them. 0 on failure: as tin_vision_selftest. */
size_t tini_vision_test_size(const tin_model *model, const void *data, size_t size, tin_error *error);

/* The digest of the logits here, of data[size], which need be no entry of the file yet. Errors: as tin_vision_selftest, but
 * for other logits. */
tin_status tini_vision_test_digest(const tin_model *model, const void *data, size_t size, void *memory,
                                   size_t memory_size, uint8_t digest[TINI_VISION_TEST_DIGEST],
                                   tin_error *error);

#endif
