/* Arm semihosting: a BKPT that a debugger or an emulator answers. Without one attached it is a fault. */
#include "board.h"

#include <stdint.h>

enum { SYS_WRITE0 = 0x04, SYS_GET_CMDLINE = 0x15, SYS_EXIT_EXTENDED = 0x20, APPLICATION_EXIT = 0x20026 };

static int32_t call(int32_t operation, const void *argument) {
    register int32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory", "r2", "r3", "ip", "lr", "cc");
    return r0;
}

void board_write(const char *text) {
    call(SYS_WRITE0, text);
}

size_t board_prompt(char *text, size_t size) {
    struct {
        char *text;
        size_t size;
    } line = {text, size};
    if (call(SYS_GET_CMDLINE, &line))
        return 0;
    text[size - 1] = 0;
    /* The first word is the image's name. */
    size_t from = 0, length = 0;
    while (text[from] && text[from] != ' ')
        from++;
    while (text[from] == ' ')
        from++;
    for (; text[from + length]; length++)
        text[length] = text[from + length];
    text[length] = 0;
    return length;
}

_Noreturn void board_exit(int status) {
    const int32_t block[2] = {APPLICATION_EXIT, status};
    for (;;)
        call(SYS_EXIT_EXTENDED, block);
}
