#include "../base/error.h"
#include "../base/math.h"

TINI_REGION_COLD

/* The scalar exponential of -1.5, as bits. */
#define TINI_EXP_MINUS_1_5 0x3e647c3cu

TINI_REGION_SCALAR

tin_status tin_selfcheck(tin_error *error) {
    /* volatile: computed here and now, not by the compiler. */
    volatile float a = 1.0f + 0x1p-12f, b = a, c = -(1.0f + 0x1p-11f), tiny = 0x1p-130f, third = 3.0f;
    if (tini_bits(a * b + c) != 0) /* a fused multiply-add keeps the 2^-24 that rounding drops */
        return tini_fail(error, TIN_ERR_UNSUPPORTED, "this build fuses multiply and add; compile without it");
    if (tini_bits(tiny * 0.5f) != 0x00040000u)
        return tini_fail(error, TIN_ERR_UNSUPPORTED, "this build flushes denormal numbers to zero");
    if (tini_bits(1.0f / third) != 0x3eaaaaabu)
        return tini_fail(error, TIN_ERR_UNSUPPORTED, "this build's division is not IEEE 754's");
    volatile float x = -1.5f;
    if (tini_bits(tini_exp(x)) != TINI_EXP_MINUS_1_5)
        return tini_fail(error, TIN_ERR_UNSUPPORTED, "this build's exponential differs");
    return TIN_OK;
}

TINI_REGION_END

TINI_REGION_END
