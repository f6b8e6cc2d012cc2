/* tini_normal on the lanes of a vector: the same operations in the same order. Included with these, which it undefines:
 *
 * TINI_LANES           a vector of floats
 * TINI_LANES_NORMAL    a name for the function
 * TINI_LANES_EXP(x)    tini_exp on each lane */

TINI_INLINE TINI_LANES TINI_LANES_NORMAL(TINI_LANES x) {
    typedef __typeof__(x < x) bits;
    TINI_LANES z = (TINI_LANES)((bits)x & 0x7fffffff) * TINI_NORMAL_Z, t = 1.0f / (1.0f + TINI_NORMAL_T * z);
    TINI_LANES p = TINI_NORMAL_P7 * t + TINI_NORMAL_P6;
    p = p * t + TINI_NORMAL_P5;
    p = p * t + TINI_NORMAL_P4;
    p = p * t + TINI_NORMAL_P3;
    p = p * t + TINI_NORMAL_P2;
    p = p * t + TINI_NORMAL_P1;
    p = p * t + TINI_NORMAL_P0;
    const TINI_LANES tail = 0.5f * (TINI_LANES_EXP(-(z * z)) * (p * t));
    const bits below = x < 0.0f;
    return (TINI_LANES)((below & (bits)tail) | (~below & (bits)(1.0f - tail)));
}

#undef TINI_LANES
#undef TINI_LANES_NORMAL
#undef TINI_LANES_EXP
