/* What an image processor makes of a picture: views of it (the picture resized, perhaps more than once), each cut into
 * tiles, each of patches. */
#ifndef TINI_PIXELS_H
#define TINI_PIXELS_H

#include "../../include/tin.h"

enum { TINI_VIEW_EDGE = 32768 }; /* the longest that a view may be */

/* The square root, correctly rounded, of a finite x >= 0 that is 0 or no less than 2^-1000. In integers: a machine without
 * double arithmetic would take it from libm. */
double tini_sqrt_double(double x);

/* The views that the rules make of a picture of that size: plan->views and plan->count. The rules have been checked. */
tin_status tini_pixels_views(const tin_pixels_rules *rules, uint32_t width, uint32_t height,
                             tin_pixels_plan *plan, tin_error *error);

#endif
