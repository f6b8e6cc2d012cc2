/* rows.c for one instruction set (each_set.h). */
#include "lanes_set.h"

TINI_INLINE float TINI_OF(tini_inverse)(const uint8_t *x, const int narrow, uint32_t width, float epsilon) {
    LANE squares = {0};
#define TINI_SQUARE(k, room)                             \
    LANE value = TINI_OF(tini_take)(x, narrow, k, room); \
    squares += value * value;
    TINI_EACH(width, TINI_SQUARE);
#undef TINI_SQUARE
    return 1.0f / tini_sqrt(TINI_OF(tini_total)(squares) / (float)width + epsilon);
}

TINI_INLINE void TINI_OF(tini_norm_row)(uint32_t width, const int narrow, const uint8_t *x,
                                        const uint8_t *weight, float epsilon, uint8_t *out) {
    const float inverse = TINI_OF(tini_inverse)(x, 0, width, epsilon);
#define TINI_SCALE(k, room) \
    TINI_OF(tini_put)       \
    (out, narrow, k, room, TINI_OF(tini_take)(x, 0, k, room) * inverse * TINI_OF(tini_take)(weight, 0, k, room))
    TINI_EACH(width, TINI_SCALE);
#undef TINI_SCALE
}

/* With n = x * inverse and s = gradient * weight: inverse * (s - n * mean(s * n)). */
TINI_INLINE void TINI_OF(tini_norm_row_back)(uint32_t width, const int narrow, const uint8_t *x,
                                             const uint8_t *weight, float epsilon, const uint8_t *gradient,
                                             uint8_t *to) {
    const float inverse = TINI_OF(tini_inverse)(x, 0, width, epsilon);
    LANE products = {0};
#define TINI_SLOPE(k, room) \
    (TINI_OF(tini_take)(gradient, narrow, k, room) * TINI_OF(tini_take)(weight, 0, k, room))
#define TINI_PRODUCT(k, room) products += TINI_SLOPE(k, room) * TINI_OF(tini_take)(x, 0, k, room)
    TINI_EACH(width, TINI_PRODUCT);
    const float along = TINI_OF(tini_total)(products) / (float)width * inverse * inverse;
#define TINI_BACK(k, room) \
    TINI_OF(tini_put)      \
    (to, 0, k, room, (TINI_SLOPE(k, room) - TINI_OF(tini_take)(x, 0, k, room) * along) * inverse)
    TINI_EACH(width, TINI_BACK);
#undef TINI_BACK
#undef TINI_PRODUCT
#undef TINI_SLOPE
}

TINI_INLINE void TINI_OF(tini_gated_row)(uint32_t width, const int narrow, const uint8_t *gate,
                                         const uint8_t *up, uint8_t *out) {
#define TINI_GATE(k, room)                              \
    LANE g = TINI_OF(tini_take)(gate, narrow, k, room); \
    TINI_OF(tini_put)                                   \
    (out, narrow, k, room, g * TINI_OF(tini_sigmoid)(g) * TINI_OF(tini_take)(up, narrow, k, room))
    TINI_EACH(width, TINI_GATE);
#undef TINI_GATE
}

TINI_INLINE void TINI_OF(tini_gated_row_back)(uint32_t width, const int narrow, const uint8_t *gate,
                                              const uint8_t *up, const uint8_t *gradient, uint8_t *to_gate,
                                              uint8_t *to_up) {
#define TINI_GATE_BACK(k, room)                                                       \
    LANE g = TINI_OF(tini_take)(gate, narrow, k, room), s = TINI_OF(tini_sigmoid)(g); \
    LANE d = TINI_OF(tini_take)(gradient, narrow, k, room);                           \
    TINI_OF(tini_put)(to_up, narrow, k, room, d * (g * s));                           \
    TINI_OF(tini_put)                                                                 \
    (to_gate, narrow, k, room, d * TINI_OF(tini_take)(up, narrow, k, room) * (s + g * s * (1.0f - s)))
    TINI_EACH(width, TINI_GATE_BACK);
#undef TINI_GATE_BACK
}

static void TINI_OF(tini_norm)(const tini_rows *m, const uint8_t *x, const uint8_t *weight, uint8_t *out) {
    const size_t in = 4 * (size_t)m->width, size = (m->narrow ? 2 : 4) * (size_t)m->width;
    for (uint32_t r = 0; r < m->rows; r++)
        if (m->narrow)
            TINI_OF(tini_norm_row)(m->width, 1, x + r * in, weight, m->epsilon, out + r * size);
        else
            TINI_OF(tini_norm_row)(m->width, 0, x + r * in, weight, m->epsilon, out + r * size);
}

static void TINI_OF(tini_norm_back)(const tini_rows *m, const uint8_t *x, const uint8_t *weight,
                                    const uint8_t *gradient, uint8_t *to) {
    const size_t in = 4 * (size_t)m->width, size = (m->narrow ? 2 : 4) * (size_t)m->width;
    for (uint32_t r = 0; r < m->rows; r++)
        if (m->narrow)
            TINI_OF(tini_norm_row_back)
    (m->width, 1, x + r * in, weight, m->epsilon, gradient + r * size, to + r * in);
    else TINI_OF(tini_norm_row_back)(m->width, 0, x + r * in, weight, m->epsilon, gradient + r * size,
                                     to + r * in);
}

static void TINI_OF(tini_gate)(const tini_rows *m, const uint8_t *gate, const uint8_t *up, uint8_t *out) {
    const size_t size = (m->narrow ? 2 : 4) * (size_t)m->width;
    for (size_t r = 0; r < m->rows; r++, gate += size, up += size, out += size)
        if (m->narrow)
            TINI_OF(tini_gated_row)(m->width, 1, gate, up, out);
        else
            TINI_OF(tini_gated_row)(m->width, 0, gate, up, out);
}

static void TINI_OF(tini_gate_back)(const tini_rows *m, const uint8_t *gate, const uint8_t *up,
                                    const uint8_t *gradient, uint8_t *to_gate, uint8_t *to_up) {
    const size_t size = (m->narrow ? 2 : 4) * (size_t)m->width;
    for (size_t r = 0; r < m->rows * size; r += size)
        if (m->narrow)
            TINI_OF(tini_gated_row_back)(m->width, 1, gate + r, up + r, gradient + r, to_gate + r, to_up + r);
        else
            TINI_OF(tini_gated_row_back)(m->width, 0, gate + r, up + r, gradient + r, to_gate + r, to_up + r);
}

TINI_INLINE void TINI_OF(tini_gated_norm_row)(const tini_rows *m, const int narrow, const uint8_t *x,
                                              const uint8_t *gate, const uint8_t *weight, uint8_t *out) {
    const float inverse = TINI_OF(tini_inverse)(x, narrow, m->width, m->epsilon);
#define TINI_GATE_NORM(k, room)                                \
    LANE g = TINI_OF(tini_take)(gate, narrow, k, room);        \
    LANE n = TINI_OF(tini_take)(x, narrow, k, room) * inverse; \
    TINI_OF(tini_put)                                          \
    (out, narrow, k, room, n * TINI_OF(tini_take)(weight, 0, k, room) * (g * TINI_OF(tini_sigmoid)(g)))
    TINI_EACH(m->width, TINI_GATE_NORM);
#undef TINI_GATE_NORM
}

/* As a norm's, with s = gradient * weight * silu(gate). */
TINI_INLINE void TINI_OF(tini_gated_norm_row_back)(const tini_rows *m, const int narrow, const uint8_t *x,
                                                   const uint8_t *gate, const uint8_t *weight,
                                                   const uint8_t *gradient, uint8_t *to_x, uint8_t *to_gate) {
    const float inverse = TINI_OF(tini_inverse)(x, narrow, m->width, m->epsilon);
    LANE products = {0};
#define TINI_GATE_NORM_PRODUCT(k, room)                                                              \
    LANE g = TINI_OF(tini_take)(gate, narrow, k, room), s = TINI_OF(tini_sigmoid)(g);                \
    LANE n = TINI_OF(tini_take)(x, narrow, k, room) * inverse;                                       \
    LANE d = TINI_OF(tini_take)(gradient, narrow, k, room) * TINI_OF(tini_take)(weight, 0, k, room); \
    products += d * n * (g * s);                                                                     \
    TINI_OF(tini_put)(to_gate, narrow, k, room, d * n * (s + g * s * (1.0f - s)))
    TINI_EACH(m->width, TINI_GATE_NORM_PRODUCT);
    const float along = TINI_OF(tini_total)(products) / (float)m->width;
#define TINI_GATE_NORM_BACK(k, room)                                                                 \
    LANE g = TINI_OF(tini_take)(gate, narrow, k, room);                                              \
    LANE n = TINI_OF(tini_take)(x, narrow, k, room) * inverse;                                       \
    LANE d = TINI_OF(tini_take)(gradient, narrow, k, room) * TINI_OF(tini_take)(weight, 0, k, room); \
    TINI_OF(tini_put)(to_x, narrow, k, room, (d * (g * TINI_OF(tini_sigmoid)(g)) - n * along) * inverse)
    TINI_EACH(m->width, TINI_GATE_NORM_BACK);
#undef TINI_GATE_NORM_BACK
#undef TINI_GATE_NORM_PRODUCT
}

static void TINI_OF(tini_gate_norm)(const tini_rows *m, const uint8_t *x, const uint8_t *gate,
                                    const uint8_t *weight, uint8_t *out) {
    const size_t size = (m->narrow ? 2 : 4) * (size_t)m->width;
    for (size_t r = 0; r < m->rows * size; r += size)
        if (m->narrow)
            TINI_OF(tini_gated_norm_row)(m, 1, x + r, gate + r, weight, out + r);
        else
            TINI_OF(tini_gated_norm_row)(m, 0, x + r, gate + r, weight, out + r);
}

static void TINI_OF(tini_gate_norm_back)(const tini_rows *m, const uint8_t *x, const uint8_t *gate,
                                         const uint8_t *weight, const uint8_t *gradient, uint8_t *to_x,
                                         uint8_t *to_gate) {
    const size_t size = (m->narrow ? 2 : 4) * (size_t)m->width;
    for (size_t r = 0; r < m->rows * size; r += size) {
        const uint8_t *d = gradient + r;
        if (m->narrow)
            TINI_OF(tini_gated_norm_row_back)(m, 1, x + r, gate + r, weight, d, to_x + r, to_gate + r);
        else
            TINI_OF(tini_gated_norm_row_back)(m, 0, x + r, gate + r, weight, d, to_x + r, to_gate + r);
    }
}
