/* Counts the steps of what is compiled with -fsanitize-coverage=trace-pc: basic blocks, which unlike time are the same on
 * every machine, however busy. memcpy and memcmp count as one. */
#include <stdint.h>

#if defined(__clang__)
#define NOT_COUNTED __attribute__((no_sanitize("coverage")))
#else
#define NOT_COUNTED __attribute__((no_sanitize_coverage))
#endif

uint64_t steps;
void __sanitizer_cov_trace_pc(void);

NOT_COUNTED void __sanitizer_cov_trace_pc(void) {
    steps++;
}
