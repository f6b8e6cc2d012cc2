/* A file's own test of its eyes, used where it lies in memory: a picture among a prompt's tokens.
 *
 * vision/selftest.bin, little-endian, written by compiler/selftest.py: tini_eyes_header, its int32 tokens, its PNG file. The
 * rules make one image of the picture, whose rows are the tokens that are TIN_EMBEDDED. */
#ifndef TINI_EYES_H
#define TINI_EYES_H

#include "../seal/model.h"

#define TINI_EYES_ENTRY "vision/selftest.bin"
#define TINI_EYES_MAGIC 0x53455945u /* "EYES" */
#define TINI_EYES_VERSION 1u
#define TINI_EYES_DIGEST 32u

typedef struct tini_eyes_header {
    uint32_t magic, version;
    tin_pixels_rules rules;
    uint32_t tokens, picture;         /* how many; bytes of the PNG file */
    uint8_t digest[TINI_EYES_DIGEST]; /* SHA-256 of the float32 logits of every position behind the image */
} tini_eyes_header;
_Static_assert(sizeof(tini_eyes_header) == 144, "laid out alike everywhere");

/* Bytes that tini_eyes_digest needs, its session and the tower among them. 0 on failure: as tin_sight_selftest. */
size_t tini_eyes_size(const tin_model *model, const void *data, size_t size, tin_error *error);

/* The digest of the logits here, of data[size], which need be no entry of the file yet. Errors: as tin_sight_selftest, but
 * for other logits. */
tin_status tini_eyes_digest(const tin_model *model, const void *data, size_t size, void *memory,
                            size_t memory_size, uint8_t digest[TINI_EYES_DIGEST], tin_error *error);

#endif
