/* tini_widen, a register's rows at a time. */
#ifndef TINI_NEON_WIDEN_H
#define TINI_NEON_WIDEN_H

#include "../../core/base/words.h"

void tini_neon_widen(uint8_t *wide, const uint8_t *words, int format);

#endif
