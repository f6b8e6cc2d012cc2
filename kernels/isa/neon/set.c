#include "../../core/base/region.h"
#if TIN_HAVE_NEON

int tini_runs_neon(void) {
    return 1;
}

#endif
