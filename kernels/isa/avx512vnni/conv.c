#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "../../core/base/kernel.h"
#include "exp.h"

TINI_REGION_AVX512VNNI

/* Tiles whose channels lie together in a row are taken at once, so that rows are read along. */
enum { CONV_TILES_AVX512VNNI = 8 };

TINI_INLINE __m512 conv_tile_avx512vnni(const tini_conv *c, uint32_t tile, uint32_t row) {
    const float *w = c->weights + (size_t)tile * c->taps * TINI_TILE;
    __m512 y = _mm512_mul_ps(_mm512_loadu_ps(w), _mm512_loadu_ps(tini_conv_input(c, tile, row)));
    for (uint32_t tap = 1; tap < c->taps; tap++) {
        __m512 x = _mm512_loadu_ps(tini_conv_input(c, tile, row + tap));
        y = _mm512_add_ps(y, _mm512_mul_ps(_mm512_loadu_ps(w + tap * TINI_TILE), x));
    }
    if (c->bias)
        y = _mm512_add_ps(y, _mm512_loadu_ps(c->bias + (size_t)tile * TINI_TILE));
    if (!c->silu)
        return y;
    __m512 divisor =
        _mm512_add_ps(_mm512_set1_ps(1.0f), tini_avx512_exp(_mm512_xor_ps(y, _mm512_set1_ps(-0.0f))));
    return _mm512_div_ps(y, divisor);
}

/* Lanes are channels, which have nothing to do with each other: the scalar's steps in its order. */
void tini_conv_avx512vnni(const tini_conv *c, uint32_t tile_begin, uint32_t tile_end) {
    for (uint32_t begin = tile_begin; begin < tile_end; begin += CONV_TILES_AVX512VNNI) {
        uint32_t end = tile_end - begin < CONV_TILES_AVX512VNNI ? tile_end : begin + CONV_TILES_AVX512VNNI;
        for (uint32_t row = 0; row < c->rows; row++)
            for (uint32_t tile = begin; tile < end; tile++)
                _mm512_storeu_ps(c->out + row * c->out_stride + (size_t)tile * TINI_TILE,
                                 conv_tile_avx512vnni(c, tile, row));
        for (uint32_t tile = begin; tile < end; tile++) {
            float *to = c->to + (size_t)tile * (c->taps - 1) * TINI_TILE;
            for (uint32_t t = 0; t + 1 < c->taps; t++, to += TINI_TILE)
                _mm512_storeu_ps(to, _mm512_loadu_ps(tini_conv_input(c, tile, c->rows + t)));
        }
    }
}

TINI_REGION_END
#endif
