#include "../../core/base/region.h"
#if TIN_HAVE_ARMDSP

int tini_runs_armdsp(void) {
    return 1;
}

#endif
