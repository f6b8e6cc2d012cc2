/* The scalar set, the reference: every build has it. */
#ifndef TINI_SCALAR_SET_H
#define TINI_SCALAR_SET_H

#define TIN_HAVE_SCALAR 1

/* All of them. */
#define TINI_HAS_SCALAR(X, op, type) X(op, scalar)
#define TIN_KERNELS_scalar(X) TIN_KERNELS(TINI_HAS_SCALAR, X)

#define TIN_RATE_scalar 0.3, 0.3, 0.25

/* Whether this processor, under this system, runs it. */
int tini_runs_scalar(void);

#endif
