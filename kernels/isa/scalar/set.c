#include "set.h"

int tini_runs_scalar(void) {
    return 1;
}
