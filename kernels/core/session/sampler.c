#include "sampler.h"
#include "../base/math.h"

#include <float.h>
#include <string.h>
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#endif

#define WEIGHT_ONE (UINT64_C(1) << 40) /* the weight of the likeliest token */
#define NO_WEIGHT 28.0f                /* exp(-28) * 2^40 is less than 1 */

enum { MAX_LANES = 16, BUCKETS = 2048, MAX_BLOCK = 64 };

/* The tokens that are left, ids ascending. */
typedef struct candidates {
    uint64_t *weights;
    uint64_t *buckets; /* [BUCKETS], for cut() */
    float *logits;
    uint32_t *ids;
    uint32_t count;
} candidates;

size_t tini_sample_scratch(uint32_t vocab) {
    size_t each = sizeof(uint64_t) + sizeof(float) + sizeof(uint32_t);
    return each * vocab + BUCKETS * sizeof(uint64_t);
}

TINI_REGION_SCALAR

/* The number of the lowest bit that is 1; x is not 0. */
static uint32_t lowest_bit(uint32_t x) {
#if defined(_MSC_VER) && !defined(__clang__)
    unsigned long at;
    _BitScanForward(&at, x);
    return at;
#else
    return (uint32_t)__builtin_ctz(x);
#endif
}

/* The largest of the logits that are numbers; -infinity when there is none. */
static float largest(const float *logits, uint32_t n) {
    float lane[MAX_LANES], most;
    for (uint32_t i = 0; i < MAX_LANES; i++)
        lane[i] = -TINI_INFINITY;
    uint32_t whole = n - n % MAX_LANES;
    for (uint32_t i = 0; i < whole; i += MAX_LANES)
        for (uint32_t j = 0; j < MAX_LANES; j++)
            lane[j] = logits[i + j] > lane[j] ? logits[i + j] : lane[j];
    for (uint32_t i = whole; i < n; i++)
        lane[i - whole] = logits[i] > lane[i - whole] ? logits[i] : lane[i - whole];
    most = lane[0];
    for (uint32_t j = 1; j < MAX_LANES; j++)
        most = lane[j] > most ? lane[j] : most;
    return most;
}

/* How many tokens a mask has, but 2 for any number above 1; *first is the lowest of them. */
static uint32_t count_allowed(const uint32_t *mask, uint32_t vocab, int32_t *first) {
    uint32_t allowed = 0;
    for (uint32_t w = 0; w < (vocab + 31) / 32 && allowed < 2; w++) {
        if (!mask[w])
            continue;
        if (!allowed)
            *first = (int32_t)(32 * w + lowest_bit(mask[w]));
        allowed += mask[w] & (mask[w] - 1) ? 2 : 1;
    }
    return allowed < 2 ? allowed : 2;
}

/* As largest, of the tokens of the mask. */
static float largest_allowed(const float *logits, uint32_t vocab, const uint32_t *mask) {
    float lane[32], most = -TINI_INFINITY;
    for (uint32_t j = 0; j < 32; j++)
        lane[j] = -TINI_INFINITY;
    for (uint32_t w = 0; w < (vocab + 31) / 32; w++) {
        const float *row = logits + 32 * (size_t)w;
        if (mask[w] == UINT32_MAX)
            for (uint32_t j = 0; j < 32; j++)
                lane[j] = row[j] > lane[j] ? row[j] : lane[j];
        else
            for (uint32_t bits = mask[w]; bits; bits &= bits - 1) {
                uint32_t j = lowest_bit(bits);
                most = row[j] > most ? row[j] : most;
            }
    }
    for (uint32_t j = 0; j < 32; j++)
        most = lane[j] > most ? lane[j] : most;
    return most;
}

static int32_t argmax_allowed(const float *logits, uint32_t vocab, const uint32_t *mask, int32_t first) {
    float most = largest_allowed(logits, vocab, mask);
    if (most > -TINI_INFINITY)
        for (uint32_t w = 0; w < (vocab + 31) / 32; w++)
            for (uint32_t bits = mask[w]; bits; bits &= bits - 1) {
                uint32_t i = 32 * w + lowest_bit(bits);
                if (logits[i] == most)
                    return (int32_t)i;
            }
    return first;
}

void tini_mask_logits(float *logits, uint32_t vocab, const uint32_t *mask) {
    for (uint32_t w = 0; 32 * w < vocab; w++) {
        float *row = logits + 32 * (size_t)w;
        uint32_t count = vocab - 32 * w < 32 ? vocab - 32 * w : 32;
        if (!mask[w]) /* nearly always */
            for (uint32_t k = 0; k < count; k++)
                row[k] = -TINI_INFINITY;
        else
            for (uint32_t k = 0; k < count; k++)
                row[k] = mask[w] >> k & 1 ? row[k] : -TINI_INFINITY;
    }
}

int32_t tini_argmax(const float *logits, uint32_t vocab, const uint32_t *mask) {
    int32_t first = 0;
    if (mask) {
        uint32_t allowed = count_allowed(mask, vocab, &first);
        if (allowed < 2)
            return allowed ? first : TIN_ERR_STATE;
        return argmax_allowed(logits, vocab, mask, first);
    }
    float most = largest(logits, vocab);
    if (most > -TINI_INFINITY)
        for (uint32_t i = 0; i < vocab; i++)
            if (logits[i] == most)
                return (int32_t)i;
    return 0;
}

static float clean(float logit) {
    if (!(logit >= -TINI_INFINITY))
        return -TINI_INFINITY;
    return logit > FLT_MAX ? FLT_MAX : logit;
}

/* Adds exp(logit - most) of 32 tokens: lanes, which are added one by one. */
static double add_block(double sum, const float *row, float most) {
    float block[32];
    for (uint32_t i = 0; i < 32; i++)
        block[i] = tini_exp_below((row[i] > FLT_MAX ? FLT_MAX : row[i]) - most);
    for (uint32_t i = 0; i < 32; i++)
        sum += (double)block[i];
    return sum;
}

/* Of the tokens of the mask, or all, exp(logit - most), ids ascending. */
static double sum_shares(const float *logits, uint32_t vocab, const uint32_t *mask, float most) {
    double sum = 0;
    for (uint32_t first = 0; first < vocab; first += 32) {
        uint32_t bits = mask ? mask[first / 32] : UINT32_MAX;
        bits &= vocab - first < 32 ? (1u << (vocab - first)) - 1 : UINT32_MAX;
        if (bits == UINT32_MAX)
            sum = add_block(sum, logits + first, most);
        else
            for (; bits; bits &= bits - 1)
                sum += (double)tini_exp(clean(logits[first + lowest_bit(bits)]) - most);
    }
    return sum;
}

/* The logarithm of the sum of exp(logit - most), of which `most` is the highest and not -infinity. */
static double log_sum(const float *logits, uint32_t vocab, const uint32_t *mask, float most) {
    return tini_log(sum_shares(logits, vocab, mask, most));
}

double tini_log_share(const float *logits, uint32_t vocab, const uint32_t *mask, uint32_t token) {
    int32_t first = 0;
    if (mask && count_allowed(mask, vocab, &first) < 2)
        return 0;
    float most = clean(mask ? largest_allowed(logits, vocab, mask) : largest(logits, vocab));
    float own = clean(logits[token]);
    if (most == -TINI_INFINITY)
        return token == (uint32_t)first ? 0 : -(double)TINI_INFINITY;
    return (double)own - (double)most - log_sum(logits, vocab, mask, most);
}

uint32_t tini_allowed(const uint32_t *mask, uint32_t vocab) {
    uint32_t allowed = 0;
    for (uint32_t w = 0; mask && w < (vocab + 31) / 32; w++) {
        uint32_t bits = mask[w] - (mask[w] >> 1 & 0x55555555u);
        bits = (bits & 0x33333333u) + (bits >> 2 & 0x33333333u);
        allowed += ((bits + (bits >> 4)) & 0x0F0F0F0Fu) * 0x01010101u >> 24;
    }
    return mask ? allowed : vocab;
}

uint32_t tini_tops(const float *logits, uint32_t vocab, const uint32_t *mask, tin_top *tops, uint32_t most) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < vocab && most; i++) {
        if (mask && !(mask[i / 32] >> i % 32 & 1)) {
            i |= mask[i / 32] ? 0u : 31u; /* nearly always */
            continue;
        }
        if (count == most && i % 32 == 0 && vocab - i >= 32 && (!mask || mask[i / 32] == UINT32_MAX) &&
            (double)largest(logits + i, 32) <= tops[count - 1].log_probability) {
            i |= 31u;
            continue;
        }
        double logit = (double)clean(logits[i]);
        if (count == most && logit <= tops[count - 1].log_probability)
            continue;
        uint32_t at = count < most ? count++ : count - 1;
        for (; at && logit > tops[at - 1].log_probability; at--)
            tops[at] = tops[at - 1];
        tops[at] = (tin_top){.log_probability = logit, .token = (int32_t)i};
    }
    return count;
}

uint32_t tini_log_shares(const float *logits, uint32_t vocab, const uint32_t *mask, tin_top *tops,
                         uint32_t most) {
    uint32_t count = tini_tops(logits, vocab, mask, tops, most);
    double highest = count ? tops[0].log_probability : 0;
    double sum = highest == -(double)TINI_INFINITY ? 0 : log_sum(logits, vocab, mask, (float)highest);
    for (uint32_t k = 0; k < count; k++)
        tops[k].log_probability = k && highest == -(double)TINI_INFINITY
                                      ? highest
                                      : (k ? tops[k].log_probability - highest : 0) - sum;
    return count;
}

/* Takes up the tokens of the mask, or all, their logits cleaned. */
static void gather(candidates *c, const float *logits, uint32_t vocab, const uint32_t *mask) {
    uint32_t count = 0;
    for (uint32_t first = 0; first < vocab; first += 32) {
        uint32_t bits = mask ? mask[first / 32] : UINT32_MAX, end = vocab - first < 32 ? vocab - first : 32;
        if (bits == UINT32_MAX)
            for (uint32_t j = 0; j < end; j++) {
                c->logits[count] = clean(logits[first + j]);
                c->ids[count++] = first + j;
            }
        else
            for (; bits; bits &= bits - 1) {
                c->ids[count] = first + lowest_bit(bits);
                c->logits[count] = clean(logits[c->ids[count]]);
                count++;
            }
    }
    c->count = count;
}

/* Where the token stands among the candidates; their count when it does not. */
static uint32_t find(const candidates *c, uint32_t id) {
    uint32_t low = 0, high = c->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (c->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < c->count && c->ids[low] == id ? low : c->count;
}

/* The model's own, with its biases. */
static float biased(const tin_sampling *s, const float *logits, uint32_t id) {
    float logit = clean(logits[id]);
    for (uint32_t k = 0; k < s->bias_count; k++)
        if ((uint32_t)s->biases[k].token == id)
            logit = clean(logit + s->biases[k].value);
    return logit;
}

static void add_biases(candidates *c, const float *logits, const tin_sampling *s) {
    for (uint32_t k = 0; k < s->bias_count; k++) {
        uint32_t id = (uint32_t)s->biases[k].token, at = find(c, id);
        if (at < c->count)
            c->logits[at] = biased(s, logits, id);
    }
}

/* Always from the biased logit, so that a token counts once however often it stands in the history. */
static void penalize(candidates *c, const float *logits, const tin_sampling *s, const int32_t *history,
                     uint32_t length) {
    uint32_t first = s->repeat_last && s->repeat_last < length ? length - s->repeat_last : 0;
    for (uint32_t i = first; i < length; i++) {
        uint32_t id = (uint32_t)history[i], at = find(c, id);
        if (at == c->count)
            continue;
        float logit = biased(s, logits, id);
        c->logits[at] = clean(logit > 0 ? logit / s->repetition_penalty : logit * s->repetition_penalty);
    }
}

/* The weights, which are not in use yet, count how often a token stands in the answer. */
static void penalize_answer(candidates *c, const tin_sampling *s, const int32_t *history, uint32_t length) {
    uint32_t first = s->answered < length ? length - s->answered : 0, at;
    for (uint32_t i = first; i < length; i++)
        if ((at = find(c, (uint32_t)history[i])) < c->count)
            c->weights[at] = 0;
    for (uint32_t i = first; i < length; i++)
        if ((at = find(c, (uint32_t)history[i])) < c->count)
            c->weights[at]++;
    for (uint32_t i = first; i < length; i++)
        if ((at = find(c, (uint32_t)history[i])) < c->count && c->weights[at]) {
            float logit = c->logits[at] - (float)c->weights[at] * s->frequency_penalty;
            c->logits[at] = clean(logit - s->presence_penalty);
            c->weights[at] = 0;
        }
}

/* Bits that order as the floats do; both zeros are one. */
static uint32_t order_of(float x) {
    uint32_t bits = tini_bits(x + 0.0f);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* Keeps the fewest first candidates, by (logit descending, id ascending), whose weights (1 each when not
 * `weighted`) reach `target`, 0 < target <= their sum. A radix selection, 11 bits of the logit's order at a
 * time: finds the one logit that has the last kept candidate, and how much of the target its ties must make up.
 */
static void cut(candidates *c, int weighted, uint64_t target) {
    uint32_t prefix = 0, kept = 0;
    for (int bits = 32, shift = 21; bits > 0; bits = shift, shift = shift > 11 ? shift - 11 : 0) {
        uint32_t mask = (1u << (bits - shift)) - 1;
        memset(c->buckets, 0, BUCKETS * sizeof *c->buckets);
        for (uint32_t i = 0; i < c->count; i++) {
            uint32_t order = order_of(c->logits[i]);
            if (bits == 32 || order >> bits == prefix)
                c->buckets[order >> shift & mask] += weighted ? c->weights[i] : 1;
        }
        uint32_t bucket = mask;
        while (c->buckets[bucket] < target)
            target -= c->buckets[bucket--];
        prefix = (bits == 32 ? 0 : prefix << (bits - shift)) | bucket;
    }
    for (uint32_t i = 0; i < c->count; i++) {
        uint32_t order = order_of(c->logits[i]);
        if (order < prefix || (order == prefix && target == 0))
            continue;
        if (order == prefix) {
            uint64_t weight = weighted ? c->weights[i] : 1;
            target -= weight < target ? weight : target;
        }
        c->logits[kept] = c->logits[i];
        if (weighted)
            c->weights[kept] = c->weights[i];
        c->ids[kept++] = c->ids[i];
    }
    c->count = kept;
}

/* Keeps the first k. When k is small, the k-th largest of the maxima of blocks is a bound that almost only
 * those k reach, found without ordering anything else. */
static void keep_first(candidates *c, uint32_t k) {
    uint32_t blocks = c->count / MAX_BLOCK;
    if (blocks > 2 * k) {
        /* The weights are not in use yet. */
        candidates maxima = {.buckets = c->buckets, .logits = (float *)c->weights, .count = blocks};
        maxima.ids = (uint32_t *)(maxima.logits + blocks);
        for (uint32_t i = 0; i < blocks; i++) {
            maxima.logits[i] = largest(c->logits + (size_t)i * MAX_BLOCK, MAX_BLOCK);
            maxima.ids[i] = i;
        }
        cut(&maxima, 0, k);
        float bound = maxima.logits[0];
        for (uint32_t i = 1; i < k; i++)
            bound = maxima.logits[i] < bound ? maxima.logits[i] : bound;
        uint32_t kept = 0;
        for (uint32_t i = 0; i < c->count; i++)
            if (c->logits[i] >= bound) {
                c->logits[kept] = c->logits[i];
                c->ids[kept++] = c->ids[i];
            }
        c->count = kept;
    }
    cut(c, 0, k);
}

/* Takes up the tokens, all of those given or ids[count], whose logits reach `bound`: no other can have a weight. Most
 * blocks of a large vocabulary have none. logits may be c->logits, and ids c->ids. */
static void keep_top_p(candidates *c, const float *logits, const uint32_t *ids, uint32_t count, float bound) {
    c->count = 0;
    for (uint32_t first = 0; first < count; first += MAX_BLOCK) {
        uint32_t end = count - first < MAX_BLOCK ? count : first + MAX_BLOCK;
        if (!(largest(logits + first, end - first) >= bound))
            continue;
        for (uint32_t i = first; i < end; i++)
            if (logits[i] >= bound) {
                c->logits[c->count] = clean(logits[i]);
                c->ids[c->count++] = ids ? ids[i] : i;
            }
    }
}

/* Fills in the weights and returns their sum. */
static uint64_t weigh(candidates *c, float most, float temperature) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        c->weights[i] = (uint64_t)(tini_exp((c->logits[i] - most) / temperature) * (float)WEIGHT_ONE);
        sum += c->weights[i];
    }
    return sum;
}

static uint64_t drop_unlikely(candidates *c, float min_p) {
    uint64_t sum = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        if ((float)c->weights[i] < min_p * (float)WEIGHT_ONE)
            continue;
        c->ids[kept] = c->ids[i];
        c->weights[kept] = c->weights[i];
        sum += c->weights[kept++];
    }
    c->count = kept;
    return sum;
}

/* The high half of a * b; *low, when asked for, is the other. */
static uint64_t multiply_high(uint64_t a, uint64_t b, uint64_t *low) {
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + (uint32_t)middle;
    if (low)
        *low = a * b;
    return a1 * b1 + (middle >> 32) + (other >> 32);
}

/* ceil(sum * p), 0 <= p < 1; p * 2^64 is exact. At least 1. */
static uint64_t share_of(uint64_t sum, float p) {
    uint64_t low, high = multiply_high(sum, (uint64_t)(p * 0x1p64f), &low);
    high += low != 0;
    return high ? high : 1;
}

TINI_REGION_END

/* The output function of SplitMix64 (Steele, Lea, Flood 2014; constants of Stafford's variant 13). */
static uint64_t scramble(uint64_t x) {
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

/* 64 random bits of a (seed, position): SplitMix64's stream of a scrambled seed, so that near seeds do not
 * share it. */
static uint64_t random_bits(uint64_t seed, uint64_t position) {
    const uint64_t step = UINT64_C(0x9E3779B97F4A7C15);
    return scramble(scramble(seed + step) + (position + 1) * step);
}

static int32_t draw(const candidates *c, uint64_t sum, uint64_t random) {
    uint64_t at = multiply_high(random, sum, NULL);
    uint32_t i = 0;
    while (at >= c->weights[i])
        at -= c->weights[i++];
    return (int32_t)c->ids[i];
}

static int in_range(float x, float low, float high) {
    return x >= low && x <= high;
}

int tini_sampling_allowed(const tin_sampling *s, uint32_t vocab) {
    for (uint32_t k = 0; k < s->bias_count; k++)
        if (!s->biases || s->biases[k].token < 0 || (uint32_t)s->biases[k].token >= vocab ||
            !in_range(s->biases[k].value, -TINI_INFINITY, FLT_MAX))
            return 0;
    return in_range(s->temperature, 0, FLT_MAX) && in_range(s->repetition_penalty, FLT_MIN, FLT_MAX) &&
           in_range(s->top_p, 0, 1) && in_range(s->min_p, 0, 1) &&
           in_range(s->presence_penalty, -FLT_MAX, FLT_MAX) &&
           in_range(s->frequency_penalty, -FLT_MAX, FLT_MAX);
}

int tini_sampling_plain(const tin_sampling *s) {
    return !(s->temperature > 0) && !s->bias_count && s->repetition_penalty == 1 && s->presence_penalty == 0 &&
           s->frequency_penalty == 0;
}

int32_t tini_sample(const tin_sampling *sampling, const float *logits, uint32_t vocab, const uint32_t *mask,
                    const int32_t *history, uint32_t history_length, uint64_t position, void *scratch) {
    const tin_sampling *s = sampling;
    if (vocab == 0 || vocab > TINI_SAMPLER_VOCAB_MAX || !tini_sampling_allowed(s, vocab))
        return TIN_ERR_ARGUMENT;
    int repeats = s->repetition_penalty != 1, answers = s->presence_penalty != 0 || s->frequency_penalty != 0;
    int changes = repeats || answers || s->bias_count;
    if (s->temperature == 0 && !changes)
        return tini_argmax(logits, vocab, mask);
    int32_t only = 0;
    uint32_t allowed = mask ? count_allowed(mask, vocab, &only) : 2;
    if (allowed < 2)
        return allowed ? only : TIN_ERR_STATE;

    candidates c = {.weights = scratch};
    c.buckets = c.weights + vocab;
    c.logits = (float *)(c.buckets + BUCKETS);
    c.ids = (uint32_t *)(c.logits + vocab);
    const uint32_t *ids = NULL;
    if (mask || changes) {
        gather(&c, logits, vocab, mask);
        add_biases(&c, logits, s);
        if (repeats)
            penalize(&c, logits, s, history, history_length);
        if (answers)
            penalize_answer(&c, s, history, history_length);
        logits = c.logits;
        ids = c.ids;
        vocab = c.count;
    }
    float most = clean(largest(logits, vocab));
    if (s->temperature == 0 || most == -TINI_INFINITY) {
        int32_t at = tini_argmax(logits, vocab, NULL);
        return ids ? (int32_t)ids[at] : at;
    }
    keep_top_p(&c, logits, ids, vocab, most - s->temperature * NO_WEIGHT);
    if (s->top_k && s->top_k < c.count)
        keep_first(&c, s->top_k);
    uint64_t sum = weigh(&c, most, s->temperature);
    if (s->top_p < 1)
        cut(&c, 1, share_of(sum, s->top_p));
    sum = drop_unlikely(&c, s->min_p);
    return draw(&c, sum, random_bits(s->seed, position));
}
