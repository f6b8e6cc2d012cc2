#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include "fetch.h"

TINI_REGION_AVX2

void tini_fetch_outputs(const tini_matmul *m, uint32_t tile, uint32_t t, uint32_t tiles, uint32_t rows) {
    const size_t first = (size_t)tile * TINI_TILE, bytes = tiles * TINI_TILE * sizeof(float);
    for (const uint32_t end = m->rows - t < rows ? m->rows : t + rows; t < end; t++) {
        tini_fetch(m->out + t * m->out_stride + first, bytes);
        if (m->residual)
            tini_fetch(m->residual + t * m->residual_stride + first, bytes);
    }
}

TINI_REGION_END
#endif
