#include "../../core/base/region.h"
#if TIN_HAVE_AVXVNNI
#include "../x86/matmuls.h"
#include "blocks.h"

TINI_REGION_AVXVNNI

#define TINI_AVXVNNI_MATMUL(set, function, id, gguf, NAME, name, ...) \
    TINI_UNLESS(TINI_OF_WORDS_##name)                                 \
    (TINI_SMALL_MATMUL(set, function, id, gguf, NAME, name, __VA_ARGS__))
TIN_FORMATS(TINI_AVXVNNI_MATMUL, avxvnni, tini_avxvnni_matmul)

void tini_half_q8_0_avxvnni(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_avxvnni_half_q8(m, tile_begin, tile_end, tini_matmul_q8_0_avxvnni);
}

TINI_REGION_END
#endif
