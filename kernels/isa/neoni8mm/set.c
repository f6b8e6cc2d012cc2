#include "../../core/base/region.h"
#if TIN_HAVE_NEONI8MM
#include "../neon/processor.h"

int tini_runs_neoni8mm(void) {
    return tini_runs_neondot() && tini_arm_has(TINI_ARM_I8MM);
}

#endif
