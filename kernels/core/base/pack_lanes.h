/* pack_q8 on the lanes of a vector, which are rows. Included with these, which it undefines:
 *
 * TINI_LANES            a vector of floats
 * TINI_LANES_PACK       a name for the function
 * TINI_LANES_MAX(x, y)  the larger of each lane, and the smaller
 * TINI_LANES_MIN(x, y) */

TINI_INLINE void TINI_LANES_PACK(uint8_t *block, const float *x, size_t stride) {
    typedef TINI_LANES loose __attribute__((aligned(4), may_alias));
    typedef uint32_t bits __attribute__((vector_size(sizeof(TINI_LANES))));
    enum { WIDTH = sizeof(TINI_LANES) / 4 };
    for (uint32_t lane = 0; lane < TINI_TILE; lane += WIDTH, x += WIDTH) {
        const TINI_LANES none = {0};
        TINI_LANES amax = none, inverse = none;
        for (uint32_t i = 0; i < TINI_BLOCK; i++) {
            const loose *v = (const loose *)(const void *)(x + i * stride);
            amax = TINI_LANES_MAX(amax, (TINI_LANES)((bits)*v & 0x7fffffff));
        }
        for (uint32_t k = 0; k < WIDTH; k++) {
            uint16_t half;
            inverse[k] = tini_kv_scale(amax[k], &half);
            tini_store_u16(block + 2 * (lane + k), half);
        }
        for (uint32_t i = 0; i < TINI_BLOCK; i += 4) {
            bits four = (bits)none;
            for (uint32_t k = 0; k < 4; k++) {
                const loose *v = (const loose *)(const void *)(x + (i + k) * stride);
                TINI_LANES y = TINI_LANES_MIN(*v * inverse, none + 127.0f);
                y = TINI_LANES_MAX(y, none - 127.0f) + TINI_ROUND_F32;
                four |= ((bits)y & 0xff) << (8 * k);
            }
            four ^= 0x80808080u;
            memcpy(block + 2 * TINI_TILE + 16 * i + 4 * lane, &four, sizeof four);
        }
    }
}

#undef TINI_LANES
#undef TINI_LANES_PACK
#undef TINI_LANES_MAX
#undef TINI_LANES_MIN
