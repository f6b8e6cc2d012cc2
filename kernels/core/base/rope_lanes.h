/* rope on the lanes of a vector, which are pairs: the scalar's operations. Included with these, which it undefines:
 *
 * TINI_LANES       a vector of floats
 * TINI_LANES_ROPE  a name for the function */

void TINI_LANES_ROPE(float *x, const float *table, uint32_t heads, uint32_t head_dim, uint32_t half) {
    typedef TINI_LANES loose __attribute__((aligned(4), may_alias));
    enum { WIDTH = sizeof(TINI_LANES) / 4 };
    for (uint32_t head = 0; head < heads; head++, x += head_dim) {
        uint32_t i = 0;
        for (; i + WIDTH <= half; i += WIDTH) {
            loose *first = (void *)(x + i), *second = (void *)(x + i + half);
            const loose *cosine = (const void *)(table + i), *sine = (const void *)(table + half + i);
            const TINI_LANES a = *first, b = *second, c = *cosine, s = *sine;
            *first = a * c - b * s;
            *second = b * c + a * s;
        }
        TINI_ROLLED
        for (; i < half; i++) {
            float a = x[i], b = x[i + half], cosine = table[i], sine = table[half + i];
            x[i] = a * cosine - b * sine;
            x[i + half] = b * cosine + a * sine;
        }
    }
}

#undef TINI_LANES
#undef TINI_LANES_ROPE
