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

/* SysTick counts the processor's clock down, 24 bits of it, and interrupts when it begins anew. */
#define SYST_CSR (*(volatile uint32_t *)0xe000e010u)
#define SYST_RVR (*(volatile uint32_t *)0xe000e014u)
#define SYST_CVR (*(volatile uint32_t *)0xe000e018u)
#define SYST_MOST 0xffffffu

/* Any word will do that a program does not often write. */
#define STACK_PAINT 0x74696e21u

static void fault(void) {
    board_write("error: the processor met a fault\n");
    board_exit(1);
}

static volatile uint32_t begun_anew;

static void tick(void) {
    begun_anew++;
}

/* Clocks of the processor since the reset. */
uint64_t image_ticks(void) {
    uint32_t times, left;
    do {
        times = begun_anew;
        left = SYST_CVR;
    } while (times != begun_anew);
    return (uint64_t)times * (SYST_MOST + 1u) + (SYST_MOST - left);
}

/* No interrupt of the board is enabled, so the system's own vectors are all there are: SysTick's is the last. */
__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    image_stack_end,     (const void *)image_reset, (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault,       (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault,       (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault,       (const void *)fault, (const void *)tick,
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
    SYST_RVR = SYST_MOST;
    SYST_CVR = 0;
    SYST_CSR = 7; /* the processor's clock, interrupting, on */
    board_exit(main());
}
