/* Which instruction sets this build and processor run, for the build side's own choice among them. */
#ifndef TINI_SETS_H
#define TINI_SETS_H

/* isa: a name of isa.def. The processor is asked once: on a virtual machine its answer takes longer than the work. */
int tini_set_runs(const char *isa);

#endif
