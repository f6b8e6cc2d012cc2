/* How a model's images are cut and written, used where it lies in memory.
 *
 * vision/images.bin, little-endian, written by compiler/vision.py: tini_images_header, then its texts, one after the
 * other. Control tokens written in them count. A number stands between `row` and `column`, and between that and `tile`. */
#ifndef TINI_WRITTEN_H
#define TINI_WRITTEN_H

#include "../seal/model.h"

#define TINI_IMAGES_MAGIC 0x53434950u /* "PICS" */
#define TINI_IMAGES_VERSION 1u
#define TINI_IMAGES_LONGEST 256u /* bytes of a text */

enum { /* the fields of vision/parts.py's Written, in their order */
       TINI_WRITTEN_ALONE,
       TINI_WRITTEN_ALONE_END,
       TINI_WRITTEN_TILED,
       TINI_WRITTEN_ROW,
       TINI_WRITTEN_COLUMN,
       TINI_WRITTEN_TILE,
       TINI_WRITTEN_ROW_END,
       TINI_WRITTEN_TILES_END,
       TINI_WRITTEN_WHOLE,
       TINI_WRITTEN_TILED_END,
       TINI_WRITTEN_DROPPED, /* from the end of what stands before a content that begins with an image */
       TINI_WRITTEN_TEXTS
};

typedef struct tini_images_header {
    uint32_t magic, version;
    tin_pixels_rules rules;
    int32_t image; /* the token that stands for each row */
    uint32_t lengths[TINI_WRITTEN_TEXTS];
} tini_images_header;

/* What tin_vision_size counts for the struct itself, and for each tile and each image, whatever a pointer's size. */
#define TINI_VISION_ROOM 640u
#define TINI_TILE_ROOM 64u

_Static_assert(sizeof(tin_pixels_rules) == 96 && sizeof(tini_images_header) == 152,
               "laid out alike everywhere");

typedef struct tini_written {
    const tini_images_header *header;
    const uint8_t *texts[TINI_WRITTEN_TEXTS];
    uint32_t side; /* of the square of patches that makes a row */
} tini_written;

/* A tile of an image: height by width patches, the first of all being `first`. */
typedef struct tini_tile {
    uint32_t first, height, width, rows;
} tini_tile;

/* Checks the model's images.bin. Errors: UNSUPPORTED (no vision, or no such entry), FORMAT, VERSION. */
tin_status tini_written_open(tini_written *view, const tin_model *model, tin_error *error);

/* What an image becomes. Errors: as tin_pixels_size; FORMAT (of tiles that the encoder does not take). */
tin_status tini_written_plan(const tini_written *view, const tin_model *model, const tin_image *image,
                             tin_pixels_plan *plan, tin_error *error);

/* The k-th tile of the plan, k < plan->tiles. */
tini_tile tini_written_tile(const tini_written *view, const tin_pixels_plan *plan, uint32_t k);

/* Writes an image. rows(context, sink, number, tile) is called for each of its tiles. */
typedef void tini_written_rows(void *context, tini_turn_sink *sink, uint32_t k, const tini_tile *tile);
tin_status tini_written_put(const tini_written *view, tini_turn_sink *sink, const tin_pixels_plan *plan,
                            tini_written_rows *rows, void *context);

#endif
