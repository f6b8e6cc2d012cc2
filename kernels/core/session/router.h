/* A router: finds a prompt's task by a linear map of the base's hidden state after it. router.bin,
 * little-endian, all parts in this order without gaps:
 *
 *   tini_router_header
 *   weights [rows][dim] float32    a row for each task, then those of "no task", at least one
 *   biases [rows] float32
 *   least [tasks] float32          the lowest probability that accepts the task, 0 to 1
 *   names, name_bytes bytes        of the tasks: printable ASCII, each ended by a NUL, none empty, no two alike
 *
 * With the state x, the score of row k is z = (the sum of weights[k][i] * x[i]) + bias[k]. Element i is added to
 * the partial sum i mod 16; tini_sum16 adds the partial sums. The probability is exp(z - m) / s, where m is the
 * highest score and s the sum of all exp(z - m), in the rows' order. */
#ifndef TINI_ROUTER_H
#define TINI_ROUTER_H

#include "session.h"

#define TINI_ROUTER_MAGIC "TINROUT"
#define TINI_ROUTER_VERSION 1u
#define TINI_MOST_TASKS 64u
#define TINI_MOST_ROUTER_ROWS 128u

typedef struct tini_router_header {
    char magic[8];
    uint32_t version, tasks, rows, dim, name_bytes, reserved;
    uint8_t source[TINI_SOURCE]; /* as an adapter's */
} tini_router_header;

struct tin_router {
    const tini_program *program;
    const tini_router_header *header;
    const float *weights, *bias, *least;
    const char *names[TINI_MOST_TASKS];
};

#endif
