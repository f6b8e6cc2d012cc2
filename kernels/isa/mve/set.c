#include "../../core/base/region.h"
#if TIN_HAVE_MVE

int tini_runs_mve(void) {
    return 1;
}

#endif
