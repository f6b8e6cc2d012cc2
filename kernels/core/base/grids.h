/* The points that IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS and IQ3_S choose from. */
#ifndef TINI_GRIDS_H
#define TINI_GRIDS_H

#include <stdint.h>

/* Where each format's begin in tini_grids. */
enum {
    TINI_GRID_IQ2_XXS = 0,
    TINI_GRID_IQ2_XS = TINI_GRID_IQ2_XXS + 256,
    TINI_GRID_IQ2_S = TINI_GRID_IQ2_XS + 512,
    TINI_GRID_IQ3_XXS = TINI_GRID_IQ2_S + 1024,
    TINI_GRID_IQ3_S = TINI_GRID_IQ3_XXS + 256,
    TINI_GRID_END = TINI_GRID_IQ3_S + 512
};

/* Of IQ2_XXS, IQ2_XS and IQ2_S an entry is eight levels of two bits, of IQ3_XXS and IQ3_S four of four. Level i stands at place i
 * with its bits in reverse, 0 lowest: so two entries become bytes in few steps (words_lanes.h). */
extern const uint16_t tini_grids[TINI_GRID_END];

#endif
