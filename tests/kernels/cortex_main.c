/* Runs a program that has a main(argc, argv), compiled with -Dmain=program, as an image of kernels/firmware: what newlib
 * needs of a system, by the board. */
#include "../../kernels/firmware/board.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

extern char heap_begin[], heap_end[];
int program(int argc, char **argv);

void *_sbrk(ptrdiff_t bytes) {
    static char *end = heap_begin;
    char *block = end;
    if (heap_end - end < bytes)
        return (void *)-1;
    end += bytes;
    return block;
}

int _write(int file, const char *text, int length) {
    (void)file;
    for (int done = 0; done < length;) {
        char part[129];
        int count = length - done < 128 ? length - done : 128;
        memcpy(part, text + done, (size_t)count);
        part[count] = 0;
        board_write(part);
        done += count;
    }
    return length;
}

_Noreturn void _exit(int status) {
    board_exit(status);
}

int main(void) {
    static char line[1024], *arguments[16] = {"program"};
    int count = 1;
    board_prompt(line, sizeof line);
    for (char *word = strtok(line, " "); word && count < 16; word = strtok(NULL, " "))
        arguments[count++] = word;
    exit(program(count, arguments));
}
