/* What sanitizers are told of memory; nothing where the compiler has none.
 *
 * TAKE_AS_WRITTEN  for MemorySanitizer: of a session's block, where the program may be a damaged one. The loader makes
 *                  sure that ops stay within their values, not that an op before wrote what they read. */
#ifndef POISON_H
#define POISON_H

#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#endif

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define TAKE_AS_WRITTEN(start, size) __msan_unpoison(start, size)
#endif
#endif
#ifndef TAKE_AS_WRITTEN
#define TAKE_AS_WRITTEN(start, size) ((void)(start), (void)(size))
#endif

#endif
