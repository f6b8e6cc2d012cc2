/* A router: which of a file's tasks a prompt is for, by a linear map of the base's hidden state after it. router.bin,
 * little-endian, all parts in this order without gaps:
 *
 *   tini_router_header
 *   weights [rows][dim] float32    a row for each task, then those for none of them, one at least
 *   biases [rows] float32
 *   least [tasks] float32          the probability from which on the task is taken, 0 to 1
 *   names, name_bytes bytes: the tasks', of printable ASCII, each ended by a NUL, none empty and no two alike
 *
 * With the state x, the score of row k is z = (the sum of weights[k][i] * x[i]) + bias[k]: element i is added to the partial
 * sum i mod 16, and these by tini_sum16. Its probability is exp(z - m) / s, where m is the highest score and s the sum of
 * all exp(z - m), in the rows' order. */
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
