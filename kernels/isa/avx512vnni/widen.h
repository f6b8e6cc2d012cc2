/* tini_widen, a register's rows at a time. */
#ifndef TINI_AVX512VNNI_WIDEN_H
#define TINI_AVX512VNNI_WIDEN_H

#include "../../core/base/words.h"

void tini_avx512_widen(uint8_t *wide, const uint8_t *words, int format);

#endif
