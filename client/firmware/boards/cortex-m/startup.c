/* startup.c: what a Cortex-M4 does before and around the message loop. */

#include "cortex_m.h"

enum { PAINT = 0x5aa5c33c, FRAME_BYTES = 1040, STACK_BYTES = 4096 };

#define CPACR REGISTER(0xe000ed88) /* who may use the FPU */

extern uint8_t fleet_data_start[], fleet_data_end[], fleet_data_source[];
extern uint8_t fleet_bss_start[], fleet_bss_end[];
extern uint8_t fleet_arena_start[], fleet_arena_end[];

void reset_handler(void);
int main(void);
void *memcpy(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);

__attribute__((section(".bss.stack"), used)) static uint64_t stack[STACK_BYTES / 8];

static void fault(void) {
    board_fault();
    for (;;) {
    }
}

static void nothing(void) {}

void clock_handler(void) __attribute__((weak, alias("nothing")));

struct vectors {
    uint64_t *stack;
    void (*reset)(void);
    void (*system[14])(void);
};

__attribute__((section(".vectors"), used)) static const struct vectors vectors = {
    .stack = stack + STACK_BYTES / 8,
    .reset = reset_handler,
    .system = {fault, fault, fault, fault, fault, fault, fault, fault, fault, nothing, nothing,
               nothing, nothing, clock_handler},
};

static void paint_stack(void) {
    uint32_t *end;
    __asm__ volatile("mov %0, sp" : "=r"(end));
    for (volatile uint32_t *at = (uint32_t *)stack; at < end; at++) *at = PAINT;
}

static uint32_t data_bytes(void) { return (uint32_t)(fleet_data_end - fleet_data_start); }

static uint32_t bss_bytes(void) { return (uint32_t)(fleet_bss_end - fleet_bss_start); }

struct fleet_memory_use cortex_m_memory_use(void) {
    const uint32_t *deepest = (const uint32_t *)stack;
    while (*deepest == PAINT) deepest++;
    const uint32_t untouched = (uint32_t)((const uint8_t *)deepest - (const uint8_t *)stack);
    return (struct fleet_memory_use){STACK_BYTES - untouched, data_bytes() + bss_bytes()};
}

__attribute__((noreturn)) void reset_handler(void) {
    CPACR |= 0xfu << 20;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    paint_stack();
    memcpy(fleet_data_start, fleet_data_source, data_bytes());
    memset(fleet_bss_start, 0, bss_bytes());
    main();
    for (;;) {
    }
}

int main(void) {
    static uint8_t frame[FRAME_BYTES] __attribute__((section(".bss.frame")));
    static struct fleet_device device;
    const uint32_t session = board_start();
    const struct fleet_buffers buffers = {frame, sizeof frame, fleet_arena_start,
                                          (uint32_t)(fleet_arena_end - fleet_arena_start)};
    fleet_device_start(&device, &board_port, buffers, session);
    for (;;) {
        fleet_idle();
        fleet_device_poll(&device);
    }
}

