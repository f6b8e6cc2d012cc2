/* A mixture of experts: routes each row to experts, and sorts rows by expert, so that rows with the same expert
 * are one matmul.
 *
 * A row of the pass goes to `chosen` experts; rows * chosen routes say where. Route number i belongs to row i /
 * chosen, whose best expert comes first. Inputs and outputs of the experts are sorted by expert, then by row:
 * [rows * chosen][width]. Reads check the numbers again: they are in the arena, which a hostile program may
 * overwrite. */
#ifndef TINI_EXPERTS_H
#define TINI_EXPERTS_H

#include "../base/kernel.h"

#define TINI_MAX_EXPERTS 512u

typedef struct tini_route {
    uint32_t expert;
    float weight;
    uint32_t place;     /* of this row's input and output for this expert */
    uint32_t expert_at; /* the expert of the place with this route's number */
} tini_route;

/* Elements of float32 that a route takes in a value. */
#define TINI_ROUTE_WIDTH 4u

typedef struct tini_routing {
    uint32_t rows, experts, chosen;
    int normalize;     /* weights of a row add up to 1, before the scale */
    float scale;       /* 0 stands for 1 */
    const float *bias; /* [experts]: by sigmoids, with these added for the choice; NULL: by a softmax */
    float added;       /* what the sum of sigmoids begins with; 0 without them */
} tini_routing;

/* Fills routes[rows][chosen] from logits[rows][experts]: the highest logits, of equal ones the lower expert's
 * first. A weight is exp(logit - highest) / sum * scale, the sum of exp(logit - highest) being over the chosen
 * experts, best first, with `normalize`, else over all in order.
 *
 * By sigmoids: the highest of 1 / (1 + exp(-logit)) + bias. A weight is the sigmoid * scale, with `normalize`
 * the sigmoid / sum * scale, the sum being of `added` and the sigmoids of the chosen experts, best first. */
void tini_route_rows(const tini_routing *t, tini_route *routes, const float *logits);

/* Copies a row of `bytes` bytes to the places of its routes; out[places]. */
void tini_expert_gather(uint8_t *out, const uint8_t *x, size_t bytes, const tini_route *routes, uint32_t chosen,
                        uint32_t places);

/* The tiles [begin, end) of every expert's product with the inputs at its places: m describes all places as rows
 * of one expert, whose weights follow each other, expert_bytes apart. */
void tini_expert_matmul(tini_matmul_fn *matmul, const tini_matmul *m, size_t expert_bytes, uint32_t experts,
                        const tini_route *routes, uint32_t begin, uint32_t end);

/* A row of out[n] = the sum of weight * part over its experts, best first, (+ residual[n], which may be out). */
typedef struct tini_expert_sum {
    const float *parts;       /* [places][n] */
    const tini_route *routes; /* [chosen] */
    const float *residual;    /* or NULL */
    uint32_t chosen, places, n;
} tini_expert_sum;

void tini_expert_sum_row(const tini_expert_sum *s, float *out);

/* The route to a shared expert, which every row goes to: its weight is the sigmoid of a gate, its place the
 * row's first. */
tini_route tini_shared_route(float gate);

#endif
