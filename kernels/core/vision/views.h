/* Into which views the image processors of Hugging Face's transformers 5.24 make an image: the image resized, perhaps
 * more than once, each cut into tiles. Their arithmetic, in double where theirs is. */
#ifndef TINI_VIEWS_H
#define TINI_VIEWS_H

#include "../../include/tin.h"

/* Fills in plan->views and plan->count. The rules have been checked; sizes of views have not.
 * Errors: UNSUPPORTED, of a shape that these rules can't cut. */
tin_status tini_pixels_views(const tin_pixels_rules *rules, uint32_t width, uint32_t height,
                             tin_pixels_plan *plan, tin_error *error);

#endif
