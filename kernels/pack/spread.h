/* The loop of feedback.c for one instruction set, which TINI_SPREAD names; included once for each, inside its region. A
 * vector holds inputs, whose sums run over the errors in order: its width changes none. */

/* x[from .. to) less the errors[n] of the inputs before: x[j] -= error[k] factor[k][j], factor [n][inputs]. */
static void TINI_SPREAD(errors)(float *x, const float *error, const float *factor, uint32_t n, uint32_t inputs,
                                uint32_t from, uint32_t to) {
    for (uint32_t k = 0; k < n; k++) {
        const float *row = factor + (size_t)k * inputs, e = error[k];
        for (uint32_t j = from; j < to; j++)
            x[j] -= e * row[j];
    }
}
