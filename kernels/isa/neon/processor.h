/* What the system says of an ARM64 processor, for the sets above NEON. */
#ifndef TINI_NEON_PROCESSOR_H
#define TINI_NEON_PROCESSOR_H

enum { TINI_ARM_DOTPROD, TINI_ARM_I8MM };

int tini_arm_has(int feature);

#endif
