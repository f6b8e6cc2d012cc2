#include "../../core/base/region.h"
#if TIN_HAVE_NEONDOT
#include "../neon/processor.h"

int tini_runs_neondot(void) {
    return tini_arm_has(TINI_ARM_DOTPROD);
}

#endif
