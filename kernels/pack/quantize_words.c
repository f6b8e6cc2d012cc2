/* Floats to blocks of words (core/base/words.h): trits, and the points of grids.
 *
 * A group of inputs that share a small scale first gets the scale that suits it best, as if that could be any number; then the
 * block's scale is chosen, and each group's small one by trying three. For a scale, each 8 or 4 inputs take the point
 * of the grid with the least weighted error: what each level of an input costs is added up for the two halves of the
 * inputs, for all their levels, and a point costs what its two bytes do. */
#include "blocks.h"
#include "quantize.h"

TINI_REGION_SCALAR

/* A grid, and what else a format makes of it. */
typedef struct tini_lattice {
    uint16_t points[1024]; /* the first level lowest */
    uint32_t count;
    uint32_t inputs, bits; /* of a point, and of a level in it */
    uint32_t levels, top;  /* how many, and the value of the last */
    uint8_t values[8];
    int even; /* minuses among 8 inputs */
} tini_lattice;

static tini_lattice tini_lattice_of(int format) {
    const tini_grid grid = tini_grid_of(format);
    const uint32_t apart = grid.bits == 2 ? 6 : 4, first = grid.bits == 2 ? 0x00cc : 0x00f0;
    tini_lattice lattice = {
        .count = grid.count,
        .inputs = grid.bits == 2 ? 8 : 4,
        .bits = grid.bits,
        .levels = grid.bits == 2 ? 3 : 8,
        .even = format != TINI_FORMAT_IQ2_S && format != TINI_FORMAT_IQ3_S,
    };
    for (uint32_t k = 0; k < grid.count; k++) { /* places whose bits in reverse are others change with those */
        const uint32_t point = grid.points[k], change = (point ^ point >> apart) & first;
        lattice.points[k] = (uint16_t)(point ^ change ^ change << apart);
    }
    for (uint32_t k = 0; k < lattice.levels; k++)
        lattice.values[k] = (uint8_t)tini_level_values(k, format);
    lattice.top = lattice.values[lattice.levels - 1];
    return lattice;
}

/* cost[byte of a point] of half its inputs; each[input][level]. */
static void tini_half_costs(float cost[256], const tini_lattice *grid, const float (*each)[8]) {
    uint32_t codes[81] = {0}, count = 1;
    cost[0] = 0.0f;
    for (uint32_t i = 0; i < grid->inputs / 2; i++) {
        const uint32_t before = count;
        for (uint32_t level = grid->levels; level-- > 0;) {
            for (uint32_t k = 0; k < before; k++) {
                const uint32_t code = codes[k] | level << grid->bits * i;
                cost[code] =
                    cost[codes[k]] + each[i][level]; /* level 0, which is the code itself, comes last */
                if (level)
                    codes[count++] = code;
            }
        }
    }
}

/* What the points for x at a scale come to. */
typedef struct tini_found {
    float error, xq, qq; /* the weighted sums of (x - scale q)^2, x q and q^2 */
} tini_found;

/* The points for the n inputs of a group; x: less its signs. */
static tini_found tini_find_points(const tini_lattice *grid, uint16_t *places, const float *x,
                                   const float *weight, uint32_t n, float scale) {
    tini_found found = {0.0f, 0.0f, 0.0f};
    const uint32_t half = grid->inputs / 2, mask = (1u << grid->bits) - 1u;
    for (uint32_t at = 0; at < n; at += grid->inputs) {
        float each[8][8], low[256], high[256], least = FLT_MAX;
        for (uint32_t i = 0; i < grid->inputs; i++) {
            for (uint32_t k = 0; k < grid->levels; k++) {
                float e = x[at + i] - scale * (float)grid->values[k];
                each[i][k] = weight[at + i] * (e * e);
            }
        }
        tini_half_costs(low, grid, (const float (*)[8])each);
        tini_half_costs(high, grid, (const float (*)[8])each + half);
        uint32_t place = 0;
        for (uint32_t k = 0; k < grid->count; k++) {
            const float cost = low[grid->points[k] & 255] + high[grid->points[k] >> 8];
            place = cost < least ? k : place;
            least = cost < least ? cost : least;
        }
        places[at / grid->inputs] = (uint16_t)place;
        found.error += least;
        for (uint32_t i = 0; i < grid->inputs; i++) {
            const float q = (float)grid->values[grid->points[place] >> grid->bits * i & mask];
            found.xq += weight[at + i] * x[at + i] * q;
            found.qq += weight[at + i] * q * q;
        }
    }
    return found;
}

/* The scale for n inputs that may have any levels. */
static float tini_fit_levels(const tini_lattice *grid, const float *x, const float *weight, uint32_t n) {
    float extreme = 0.0f, xq[TINI_TRIES] = {0}, qq[TINI_TRIES] = {0}, step = 0.0f, most = -1.0f;
    for (uint32_t i = 0; i < n; i++)
        extreme = x[i] > extreme ? x[i] : extreme;
    if (!(extreme > 1e-30f))
        return 0.0f;
    for (uint32_t c = 0; c < TINI_TRIES; c++) {
        const float inverse = (0.7f + 0.04f * (float)c) * (float)grid->top / extreme;
        for (uint32_t i = 0; i < n; i++) {
            float q = (float)grid->values[0];
            for (uint32_t k = 1; k < grid->levels; k++)
                q = 2.0f * x[i] * inverse > (float)(grid->values[k] + grid->values[k - 1])
                        ? (float)grid->values[k]
                        : q;
            xq[c] += weight[i] * x[i] * q;
            qq[c] += weight[i] * q * q;
        }
        const float fit = xq[c] / (qq[c] > 1e-30f ? qq[c] : TINI_INFINITY), gain = fit * xq[c];
        step = gain > most ? fit : step;
        most = gain > most ? gain : most;
    }
    return step;
}

/* And where they must be points, of three around it. */
static float tini_fit_points(const tini_lattice *grid, const float *x, const float *weight, uint32_t n) {
    const float free = tini_fit_levels(grid, x, weight, n);
    float best = 0.0f, most = 0.0f;
    uint16_t places[8];
    for (uint32_t c = 0; free > 0.0f && c < 3; c++) {
        const tini_found found =
            tini_find_points(grid, places, x, weight, n, free * (0.93f + 0.07f * (float)c));
        const float fit = found.xq / (found.qq > 1e-30f ? found.qq : TINI_INFINITY), gain = fit * found.xq;
        best = gain > most ? fit : best;
        most = gain > most ? gain : most;
    }
    return best;
}

/* b of the small scale 2 b + 1, nearest to t. */
static float tini_odd_bits(float t) {
    return tini_level((t - 1.0f) * 0.5f, 0.0f, 15.0f);
}

/* The unit of which groups' scales are odd multiples up to 31. */
static float tini_fit_odd_unit(const float *fit, const float *share, uint32_t groups) {
    float most = 0.0f, best = 0.0f, least = FLT_MAX;
    for (uint32_t g = 0; g < groups; g++)
        most = fit[g] > most ? fit[g] : most;
    for (uint32_t c = 0; c < TINI_TRIES && most > 1e-30f; c++) {
        const float d = 1.0f / (31.0f * (1.0f + ((float)c - 13.0f) * (1.0f / 160.0f)));
        float error = 0.0f;
        for (uint32_t g = 0; g < groups; g++) {
            const float e = fit[g] / most - d * (2.0f * tini_odd_bits(fit[g] / most / d) + 1.0f);
            error += (share[g] > 1e-6f ? share[g] : 1e-6f) * (e * e);
        }
        best = error < least ? d : best;
        least = error < least ? error : least;
    }
    return best * most;
}

/* Takes the signs off the 8 inputs from x on; where the minuses must be even, of the input that matters least too. */
static uint8_t tini_take_signs(float *x, const float *weight, int even) {
    uint32_t signs = 0, odd = 0, least = 0;
    for (uint32_t i = 0; i < 8; i++) {
        const uint32_t minus = x[i] < 0.0f;
        signs |= minus << i;
        odd ^= minus;
        x[i] = tini_abs(x[i]);
        least = weight[i] * x[i] * x[i] < weight[least] * x[least] * x[least] ? i : least;
    }
    if (even && odd) {
        signs ^= 1u << least;
        x[least] = -x[least];
    }
    return (uint8_t)signs;
}

/* A block's parts, before they are bytes. */
typedef struct tini_points {
    uint16_t place[64]; /* of each 4 or 8 inputs */
    uint8_t signs[32];  /* of each 8 inputs */
    uint8_t bits[16];   /* of the small scale of each 16 or 32 inputs */
} tini_points;

static void tini_put(uint8_t *words, uint32_t byte, uint32_t bits, uint32_t left) {
    bits <<= left;
    for (; bits; bits >>= 8, byte++)
        words[byte] = (uint8_t)(words[byte] | (bits & 255));
}

/* The inverse of tini_sub_numbers and tini_words_scale. words: zeros. */
static void tini_store_points(uint8_t *words, const tini_points *p, int format) {
    for (uint32_t k = 0; k < 32; k++) {
        const uint32_t s = k / 4, h = k % 4, seven = p->signs[k] & 127u;
        switch (format) {
        case TINI_FORMAT_IQ3_S:
            for (uint32_t i = 2 * k; i < 2 * k + 2; i++) {
                words[i] = (uint8_t)p->place[i];
                tini_put(words, 64 + s, p->place[i] >> 8, i % 8);
            }
            words[72 + k] = p->signs[k];
            tini_put(words, 104 + s / 2, h ? 0 : p->bits[s], s % 2 * 4);
            break;
        case TINI_FORMAT_IQ3_XXS:
            words[2 * k] = (uint8_t)p->place[2 * k];
            words[2 * k + 1] = (uint8_t)p->place[2 * k + 1];
            tini_put(words, 64 + 4 * s, seven, 7 * h);
            tini_put(words, 64 + 4 * s, h ? 0 : p->bits[s], 28);
            break;
        case TINI_FORMAT_IQ2_S:
            words[k] = (uint8_t)p->place[k];
            words[32 + k] = p->signs[k];
            tini_put(words, 64 + s, p->place[k] >> 8, 2 * h);
            tini_put(words, 72 + s, h % 2 ? 0 : p->bits[k / 2], 2 * h);
            break;
        case TINI_FORMAT_IQ2_XS:
            tini_put(words, 2 * k, p->place[k] | seven << 9, 0);
            tini_put(words, 64 + s, h % 2 ? 0 : p->bits[k / 2], 2 * h);
            break;
        default: /* IQ2_XXS */
            words[8 * s + h] = (uint8_t)p->place[k];
            tini_put(words, 8 * s + 4, seven, 7 * h);
            tini_put(words, 8 * s + 4, h ? 0 : p->bits[s], 28);
        }
    }
}

static int tini_quantize_points(int format, uint8_t *words, const float *given, const float *weight,
                                const float *share, float *d) {
    const tini_lattice grid = tini_lattice_of(format);
    const uint32_t n = tini_group_inputs(format), groups = 256 / n;
    float x[256], fit[16];
    tini_points points = {{0}, {0}, {0}};
    memcpy(x, given, sizeof x);
    for (uint32_t k = 0; k < 32; k++)
        points.signs[k] = tini_take_signs(x + 8 * k, weight + 8 * k, grid.even);
    for (uint32_t g = 0; g < groups; g++)
        fit[g] = tini_fit_points(&grid, x + n * g, weight + n * g, n);
    *d = tini_fit_odd_unit(fit, share, groups) / tini_unit(format);
    const float unit = tini_half_round(*d) * tini_unit(format);
    for (uint32_t g = 0; g < groups; g++) {
        const float middle = tini_odd_bits(fit[g] * tini_inverse(unit));
        float least = FLT_MAX;
        for (uint32_t c = 0; c < 3; c++) {
            const float bits = tini_bounded(middle + (float)c - 1.0f, 0.0f, 15.0f);
            uint16_t places[8];
            const tini_found found =
                tini_find_points(&grid, places, x + n * g, weight + n * g, n, unit * (2.0f * bits + 1.0f));
            if (found.error < least) {
                least = found.error;
                points.bits[g] = (uint8_t)bits;
                memcpy(points.place + n * g / grid.inputs, places, n / grid.inputs * sizeof *places);
            }
        }
    }
    tini_store_points(words, &points, format);
    return tini_half_overflows(*d) ? -2 : 0;
}

/* Of the digits 0, 1 and 2 of 256 inputs. Those in a byte are the first after the point of byte / 256 to the base of 3. */
static void tini_store_trits(uint8_t *bytes, const uint8_t *digits) {
    for (uint32_t k = 0; k < 52; k++) {
        const uint32_t count = k < 48 ? 5 : 4, apart = k < 32 ? 32 : k < 48 ? 16 : 4;
        const uint32_t first = k < 32 ? k : k < 48 ? 160 + k - 32 : 240 + k - 48;
        uint32_t number = 0;
        for (uint32_t i = 0; i < 5; i++)
            number = number * 3 + (i < count ? digits[first + apart * i] : 0);
        bytes[k] = (uint8_t)((number * 256 + 242) / 243);
    }
}

static int tini_quantize_trits(const tini_tries *tries, uint8_t *bytes, const float *x, const float *weight,
                               float *d) {
    uint8_t digits[256];
    *d = tini_fit_ternary(tries, x, weight, 256);
    const float inverse = tini_inverse(tini_half_round(*d));
    for (uint32_t i = 0; i < 256; i++)
        digits[i] = (uint8_t)(tini_level(x[i] * inverse, -1.0f, 1.0f) + 1.0f);
    tini_store_trits(bytes, digits);
    return tini_half_overflows(*d) ? -2 : 0;
}

int tini_quantize_words(const tini_tries *tries, int format, uint8_t *out, const float *x, const float *weight,
                        const float *share) {
    const tini_layout layout = tini_layout_of(format);
    uint8_t *words = out + layout.low.at;
    float d = 0.0f;
    memset(out, 0, layout.bytes);
    const int status = format == TINI_FORMAT_TQ1_0 ? tini_quantize_trits(tries, words, x, weight, &d)
                                                   : tini_quantize_points(format, words, x, weight, share, &d);
    const uint16_t half = tini_f32_to_f16(d);
    out[layout.halves] = (uint8_t)half;
    out[layout.halves + 1] = (uint8_t)(half >> 8);
    return status;
}

/* Takes off what `from` .. `to` lost of the weights behind them. */
static void tini_lose(float *x, const float *values, float *error, const float *factor, uint32_t inputs,
                      uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++) {
        const float *row = factor + (size_t)i * inputs;
        error[i] = (x[i] - values[i]) / row[i];
        for (uint32_t j = i + 1; j < 256; j++)
            x[j] -= error[i] * row[j];
    }
}

/* The numbers of 8 inputs from x + at on. */
static void tini_round_points(const tini_lattice *grid, tini_points *points, float *values, const float *x,
                              const float *cost, float scale, uint32_t at) {
    const uint32_t mask = (1u << grid->bits) - 1u;
    uint16_t *places = points->place + at / grid->inputs;
    float part[8];
    memcpy(part, x + at, sizeof part);
    points->signs[at / 8] = tini_take_signs(part, cost + at, grid->even);
    tini_find_points(grid, places, part, cost + at, 8, scale);
    for (uint32_t i = 0; i < 8; i++) {
        const uint32_t level = grid->points[places[i / grid->inputs]] >> grid->bits * (i % grid->inputs) & mask;
        const float value = scale * (float)grid->values[level];
        values[at + i] = points->signs[at / 8] >> i & 1 ? -value : value;
    }
}

void tini_round_words(int format, uint8_t *block, float *x, float *error, const float *cost,
                      const float *factor, uint32_t inputs) {
    const tini_layout layout = tini_layout_of(format);
    uint8_t *words = block + layout.low.at, digits[256];
    const float d = tini_f16_to_f32(tini_load_u16(block + layout.halves)) * tini_unit(format);
    float values[256];
    if (format == TINI_FORMAT_TQ1_0) {
        for (uint32_t i = 0; i < 256; i++) {
            const float level = tini_level(x[i] * tini_inverse(d), -1.0f, 1.0f);
            digits[i] = (uint8_t)(level + 1.0f);
            values[i] = level * d;
            tini_lose(x, values, error, factor, inputs, i, i + 1);
        }
        tini_store_trits(words, digits);
        return;
    }
    const tini_lattice grid = tini_lattice_of(format);
    const uint32_t n = tini_group_inputs(format);
    tini_points points;
    for (uint32_t at = 0; at < 256; at += 8) {
        const uint32_t scale = tini_words_scale(words, 4, at / 32, at / 16 % 2, format);
        points.bits[at / n] = (uint8_t)(scale / 2);
        tini_round_points(&grid, &points, values, x, cost, d * (float)scale, at);
        tini_lose(x, values, error, factor, inputs, at, at + 8);
    }
    memset(words, 0, 4 * (size_t)tini_kind_of(format).words);
    tini_store_points(words, &points, format);
}

TINI_REGION_END
