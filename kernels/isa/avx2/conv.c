#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include "../../core/base/kernel.h"
#include "exp.h"

TINI_REGION_AVX2

/* Tiles whose channels lie together in a row are taken at once, so that rows are read along. */
enum { CONV_TILES_AVX2 = 8 };

TINI_INLINE __m256 conv_eight_avx2(const tini_conv *c, uint32_t tile, uint32_t row, uint32_t lane) {
    const float *w = c->weights + (size_t)tile * c->taps * TINI_TILE + lane;
    __m256 y = _mm256_mul_ps(_mm256_loadu_ps(w), _mm256_loadu_ps(tini_conv_input(c, tile, row) + lane));
    for (uint32_t tap = 1; tap < c->taps; tap++) {
        __m256 x = _mm256_loadu_ps(tini_conv_input(c, tile, row + tap) + lane);
        y = _mm256_add_ps(y, _mm256_mul_ps(_mm256_loadu_ps(w + tap * TINI_TILE), x));
    }
    if (c->bias)
        y = _mm256_add_ps(y, _mm256_loadu_ps(c->bias + (size_t)tile * TINI_TILE + lane));
    if (!c->silu)
        return y;
    __m256 divisor =
        _mm256_add_ps(_mm256_set1_ps(1.0f), tini_avx2_exp(_mm256_xor_ps(y, _mm256_set1_ps(-0.0f))));
    return _mm256_div_ps(y, divisor);
}

/* Lanes are channels, which have nothing to do with each other: the scalar's steps in its order. */
void tini_conv_avx2(const tini_conv *c, uint32_t tile_begin, uint32_t tile_end) {
    for (uint32_t begin = tile_begin; begin < tile_end; begin += CONV_TILES_AVX2) {
        uint32_t end = tile_end - begin < CONV_TILES_AVX2 ? tile_end : begin + CONV_TILES_AVX2;
        for (uint32_t row = 0; row < c->rows; row++) {
            for (uint32_t tile = begin; tile < end; tile++) {
                float *out = c->out + row * c->out_stride + (size_t)tile * TINI_TILE;
                _mm256_storeu_ps(out, conv_eight_avx2(c, tile, row, 0));
                _mm256_storeu_ps(out + 8, conv_eight_avx2(c, tile, row, 8));
            }
        }
        for (uint32_t tile = begin; tile < end; tile++) {
            float *to = c->to + (size_t)tile * (c->taps - 1) * TINI_TILE;
            for (uint32_t t = 0; t + 1 < c->taps; t++, to += TINI_TILE) {
                const float *from = tini_conv_input(c, tile, c->rows + t);
                __m256 low = _mm256_loadu_ps(from), high = _mm256_loadu_ps(from + 8);
                _mm256_storeu_ps(to, low);
                _mm256_storeu_ps(to + 8, high);
            }
        }
    }
}

TINI_REGION_END
#endif
