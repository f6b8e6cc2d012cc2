/* tin_host, compiled as one: beside tin_all.c, or what scripts/amalgamate.py writes of both. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "file.c"
#include "session.c"
#include "options.c"
#include "images.c"
#include "answer.c"
#include "saved.c"
