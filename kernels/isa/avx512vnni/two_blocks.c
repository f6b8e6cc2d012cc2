#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "two_blocks.h"
#include "../scalar/tile.h"
#include "rows.h"

TINI_REGION_AVX512VNNI

/* A tile, in registers. */
typedef struct tini_avx512_tile {
    __m512i four[2][8]; /* [block][inputs 4 i to 4 i + 3] */
    __m512 d[2];
} tini_avx512_tile;

TINI_INLINE tini_avx512_tile tini_avx512_load_tile(const uint8_t *p) {
    tini_avx512_tile w;
    TINI_UNROLL
    for (uint32_t b = 0; b < 2; b++, p += TINI_PACKED_Q8) {
        w.d[b] = tini_avx512_halves(p);
        TINI_UNROLL
        for (uint32_t i = 0; i < 8; i++)
            w.four[b][i] = _mm512_loadu_si512(p + 2 * TINI_TILE + 64 * i);
    }
    return w;
}

/* The tile times `columns` rows of x. begin [row][block]: what the weights' offset of 128 takes off the sums, which begin with
 * it; in memory, where a register is filled from without a detour. Bits equal the scalar's as in blocks.h. */
TINI_INLINE void tini_avx512_tile_rows(const tini_avx512_tile *w, const tini_matmul *m, uint32_t t,
                                       const int32_t *begin, float *out, const uint32_t columns) {
    __m512i sum[4][2];
    const tini_q8 *x[4];
    TINI_UNROLL
    for (uint32_t c = 0; c < columns; c++) {
        x[c] = tini_row_q8(m, t + c);
        sum[c][0] = _mm512_set1_epi32(begin[2 * c + 0]);
        sum[c][1] = _mm512_set1_epi32(begin[2 * c + 1]);
    }
    TINI_UNROLL
    for (uint32_t i = 0; i < 8; i++) {
        TINI_UNROLL
        for (uint32_t c = 0; c < columns; c++) {
            TINI_UNROLL
            for (uint32_t b = 0; b < 2; b++) {
                int32_t q;
                memcpy(&q, x[c][b].q + 4 * i, 4);
                sum[c][b] = _mm512_dpbusd_epi32(sum[c][b], w->four[b][i], _mm512_set1_epi32(q));
            }
        }
    }
    TINI_UNROLL
    for (uint32_t c = 0; c < columns; c++, out += m->out_stride) {
        __m512 y = _mm512_setzero_ps();
        TINI_UNROLL
        for (uint32_t b = 0; b < 2; b++) {
            const __m512 scale = _mm512_mul_ps(w->d[b], _mm512_set1_ps(x[c][b].scale));
            y = _mm512_add_ps(y, _mm512_mul_ps(_mm512_cvtepi32_ps(sum[c][b]), scale));
        }
        _mm512_storeu_ps(out, y);
    }
}

uint32_t tini_avx512_two_blocks(const tini_matmul *m, uint32_t tile, uint32_t tile_end) {
    enum { ROWS = 32 };
    int32_t begin[2 * ROWS];
    const uint32_t whole = m->outputs / TINI_TILE, end = tile_end < whole ? tile_end : whole;
    for (uint32_t from = 0; from < m->rows; from += ROWS) {
        const uint32_t rows = m->rows - from < ROWS ? m->rows - from : ROWS;
        for (uint32_t t = 0; t < rows; t++) {
            const tini_q8 *x = tini_row_q8(m, from + t);
            begin[2 * t] = (int32_t)(0u - 128u * (uint32_t)x[0].sum);
            begin[2 * t + 1] = (int32_t)(0u - 128u * (uint32_t)x[1].sum);
        }
        for (uint32_t k = tile; k < end; k++) {
            const tini_avx512_tile w = tini_avx512_load_tile(m->weights + (size_t)k * 2 * TINI_PACKED_Q8);
            float *out = m->out + from * m->out_stride + k * TINI_TILE;
            uint32_t t = 0;
            for (; t + 4 <= rows; t += 4)
                tini_avx512_tile_rows(&w, m, from + t, begin + 2 * t, out + t * m->out_stride, 4);
            for (; t < rows; t++)
                tini_avx512_tile_rows(&w, m, from + t, begin + 2 * t, out + t * m->out_stride, 1);
        }
    }
    return tile < end ? end : tile;
}

TINI_REGION_END
#endif
