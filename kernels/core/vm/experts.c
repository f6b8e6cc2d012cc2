#include "experts.h"
#include "../base/math.h"

#include <string.h>

TINI_REGION_SCALAR

/* exp(logit - highest), or the logit's sigmoid. */
TINI_NOINLINE float expert_score(const tini_routing *t, float logit, float highest) {
    float e = tini_exp(t->bias ? -logit : logit - highest);
    return t->bias ? 1.0f / (1.0f + e) : e;
}

/* Keeps the highest seen so far, in order, as weights: of logits, or of sigmoids with their bias. */
static void choose_experts(const tini_routing *t, tini_route *routes, const float *logits) {
    uint32_t count = 0;
    for (uint32_t expert = 0; expert < t->experts; expert++) {
        float x = t->bias ? expert_score(t, logits[expert], 0.0f) + t->bias[expert] : logits[expert];
        if (count == t->chosen && !(x > routes[count - 1].weight))
            continue;
        uint32_t at = count < t->chosen ? count++ : count - 1;
        for (; at && x > routes[at - 1].weight; at--)
            routes[at] = routes[at - 1];
        routes[at].expert = expert;
        routes[at].weight = x;
    }
}

static void weigh_experts(const tini_routing *t, tini_route *routes, const float *logits) {
    float highest = logits[routes[0].expert], sum = t->added;
    int shares = t->normalize || !t->bias;
    if (!t->normalize && shares)
        for (uint32_t expert = 0; expert < t->experts; expert++)
            sum = sum + expert_score(t, logits[expert], highest);
    for (uint32_t k = 0; k < t->chosen; k++) {
        routes[k].weight = expert_score(t, logits[routes[k].expert], highest);
        if (t->normalize)
            sum = sum + routes[k].weight;
    }
    for (uint32_t k = 0; k < t->chosen; k++) {
        if (shares)
            routes[k].weight = routes[k].weight / sum;
        if (t->scale != 0.0f)
            routes[k].weight = routes[k].weight * t->scale;
    }
}

/* A counting sort. */
static void sort_routes(const tini_routing *t, tini_route *routes) {
    uint32_t next[TINI_MAX_EXPERTS], count = t->rows * t->chosen, total = 0;
    memset(next, 0, t->experts * sizeof next[0]);
    for (uint32_t i = 0; i < count; i++)
        next[routes[i].expert]++;
    for (uint32_t expert = 0; expert < t->experts; expert++) {
        total += next[expert];
        next[expert] = total - next[expert];
    }
    for (uint32_t i = 0; i < count; i++) {
        routes[i].place = next[routes[i].expert]++;
        routes[routes[i].place].expert_at = routes[i].expert;
    }
}

void tini_route_rows(const tini_routing *t, tini_route *routes, const float *logits) {
    for (uint32_t row = 0; row < t->rows; row++) {
        tini_route *own = routes + (size_t)row * t->chosen;
        const float *scored = logits + (size_t)row * t->experts;
        choose_experts(t, own, scored);
        weigh_experts(t, own, scored);
    }
    sort_routes(t, routes);
}

static uint32_t place_of(const tini_route *route, uint32_t places) {
    uint32_t place = route->place;
    return place < places ? place : 0;
}

void tini_expert_gather(uint8_t *out, const uint8_t *x, size_t bytes, const tini_route *routes, uint32_t chosen,
                        uint32_t places) {
    for (uint32_t k = 0; k < chosen; k++)
        memmove(out + place_of(&routes[k], places) * bytes, x, bytes); /* a hostile program's overlap */
}

void tini_expert_matmul(tini_matmul_fn *matmul, const tini_matmul *m, size_t expert_bytes, uint32_t experts,
                        const tini_route *routes, uint32_t begin, uint32_t end) {
    for (uint32_t place = 0, rows; place < m->rows; place += rows) {
        uint32_t expert = routes[place].expert_at;
        for (rows = 1; place + rows < m->rows && routes[place + rows].expert_at == expert;)
            rows++;
        tini_matmul one = *m;
        one.weights += (expert < experts ? expert : 0) * expert_bytes;
        one.x = (const uint8_t *)m->x + place * m->x_stride;
        one.out += place * m->out_stride;
        one.rows = rows;
        matmul(&one, begin, end);
    }
}

void tini_expert_sum_row(const tini_expert_sum *s, float *out) {
    enum { WIDE = 16 }; /* elements at once: out may be the residual */
    for (uint32_t at = 0; at < s->n; at += WIDE) {
        float sums[WIDE] = {0.0f};
        uint32_t wide = s->n - at < WIDE ? s->n - at : WIDE;
        for (uint32_t k = 0; k < s->chosen; k++) {
            const float *part = s->parts + (size_t)place_of(&s->routes[k], s->places) * s->n + at;
            for (uint32_t i = 0; i < wide; i++)
                sums[i] = sums[i] + s->routes[k].weight * part[i];
        }
        for (uint32_t i = 0; i < wide; i++)
            out[at + i] = s->residual ? sums[i] + s->residual[at + i] : sums[i];
    }
}

tini_route tini_shared_route(float gate) {
    return (tini_route){.weight = 1.0f / (1.0f + tini_exp(-gate))};
}

TINI_REGION_END
