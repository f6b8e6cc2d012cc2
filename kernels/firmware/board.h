/* What an image asks of the board it runs on. semihosting.c answers by a debugger or an emulator; a product puts a file
 * of its own in its place: a UART for text, a command for the prompt. */
#ifndef TINI_BOARD_H
#define TINI_BOARD_H

#include <stddef.h>

/* Shows NUL-terminated text. */
void board_write(const char *text);

/* What the image shall answer, NUL-terminated: at most size - 1 bytes, cut there. Its length; 0: nothing, so that the
 * file's self-test is run. */
size_t board_prompt(char *text, size_t size);

/* The end, for good: 0 when all went well. */
_Noreturn void board_exit(int status);

#endif
