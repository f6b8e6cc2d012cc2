/* From reset to main on a Cortex-M: the vectors, the floating-point unit, the memory that C expects. */
#include "board.h"

#include <stdint.h>

extern uint32_t image_data_load[], image_data_begin[], image_data_end[], image_bss_begin[], image_bss_end[];
extern uint32_t image_stack_begin[], image_stack_end[];

int main(void);
void image_reset(void);

#define SCB_VTOR (*(volatile uint32_t *)0xe000ed08u)
#define SCB_CPACR (*(volatile uint32_t *)0xe000ed88u)
#define CP10_AND_CP11 (0xfu << 20) /* floats, and MVE */

/* Any word will do that a program does not often write. */
#define STACK_PAINT 0x74696e21u

static void fault(void) {
    board_write("error: the processor met a fault\n");
    board_exit(1);
}

/* No interrupt is enabled, so the system's own vectors are all there are. */
__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    image_stack_end,     (const void *)image_reset, /* NMI and faults */
    (const void *)fault, (const void *)fault,       (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault,       (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault,       (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault,
};

/* Of the stack that main has at most used, in bytes. */
uint32_t image_stack_used(void) {
    const uint32_t *word = image_stack_begin;
    while (word < image_stack_end && *word == STACK_PAINT)
        word++;
    return (uint32_t)(image_stack_end - word) * (uint32_t)sizeof *word;
}

/* Begins on the stack that it paints, and has nothing on it. Floats are as IEEE says: FPSCR is 0 after a reset. */
void image_reset(void) {
    SCB_VTOR = (uint32_t)(uintptr_t)vectors;
    SCB_CPACR |= CP10_AND_CP11;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    uint32_t *here;
    __asm__ volatile("mov %0, sp" : "=r"(here));
    for (volatile uint32_t *word = image_stack_begin; word < here; word++)
        *word = STACK_PAINT;
    volatile uint32_t *from = image_data_load;
    for (volatile uint32_t *to = image_data_begin; to < image_data_end; to++)
        *to = *from++;
    for (volatile uint32_t *to = image_bss_begin; to < image_bss_end; to++)
        *to = 0;
    board_exit(main());
}
