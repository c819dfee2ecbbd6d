/* board.c: the port of QEMU's MPS2 AN386 as client/qemu.py starts it.
 *
 * Bytes go through QEMU's own standard streams by semihosting, for its UART takes one at a time. The MPU
 * leaves 256 KB of the machine's RAM. The last word of these holds the session. */

#include "cortex_m.h"

#define SESSION REGISTER(0x2003fffc)
#define TICK_CONTROL REGISTER(0xe000e010)
#define TICK_RELOAD REGISTER(0xe000e014)
#define TICK_VALUE REGISTER(0xe000e018)
#define MPU_CONTROL REGISTER(0xe000ed94)
#define MPU_BASE REGISTER(0xe000ed9c)
#define MPU_SIZE REGISTER(0xe000eda0)

enum {
    SYS_OPEN = 0x01,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_EXIT = 0x18,
    EXIT_WELL = 0x20026,
    EXIT_FAULT = 0x20023,
    OPEN_INPUT = 0,  /* of the console's name, mode "r" */
    OPEN_OUTPUT = 4, /* mode "w" */
    TICKS = 0x1000000,
};

/* Sizes as the MPU wants them: log2 of the bytes, less 1. */
#define REGION(log2, rights) ((rights) | ((log2) - 1) << 1 | 1)
#define READ_ONLY (6u << 24)
#define NO_CODE (1u << 28 | 3u << 24)

static uint32_t input, output;
static volatile uint32_t rounds; /* of the tick counter */

static uint32_t semihost(uint32_t what, const void *block) {
    register uint32_t r0 __asm__("r0") = what;
    register const void *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void stop(uint32_t why) { semihost(SYS_EXIT, (const void *)(uintptr_t)why); }

static uint32_t open_console(uint32_t mode) {
    static const char name[] = ":tt";
    const uint32_t block[] = {(uint32_t)(uintptr_t)name, mode, sizeof name - 1};
    return semihost(SYS_OPEN, block);
}

void clock_handler(void) { rounds++; }

uint32_t board_start(void) {
    const uint32_t session = SESSION;
    MPU_BASE = 0x00000000 | 1 << 4 | 0; /* region 0, flash */
    MPU_SIZE = REGION(20, READ_ONLY);
    MPU_BASE = 0x20000000 | 1 << 4 | 1; /* region 1, RAM */
    MPU_SIZE = REGION(18, NO_CODE);
    MPU_CONTROL = 1;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    TICK_RELOAD = TICKS - 1;
    TICK_VALUE = 0;
    TICK_CONTROL = 7;
    input = open_console(OPEN_INPUT);
    output = open_console(OPEN_OUTPUT);
    return session;
}

void board_fault(void) { stop(EXIT_FAULT); }

void fleet_idle(void) {} /* reading waits */

static size_t receive(uint8_t *bytes, size_t most) {
    const uint32_t block[] = {input, (uint32_t)(uintptr_t)bytes, (uint32_t)most};
    const uint32_t missing = semihost(SYS_READ, block);
    if (missing >= most) stop(EXIT_WELL); /* the gateway is gone */
    return most - missing;
}

static void send(const uint8_t *bytes, size_t count) {
    const uint32_t block[] = {output, (uint32_t)(uintptr_t)bytes, (uint32_t)count};
    semihost(SYS_WRITE, block);
}

/* One instruction is 64 ns (-icount shift=6), one tick of 25 MHz is 40 ns. */
static uint32_t instructions(void) {
    uint32_t before, left;
    do {
        before = rounds;
        left = TICK_VALUE;
    } while (before != rounds);
    const uint64_t ticks = (uint64_t)before * TICKS + (TICKS - 1 - left);
    return (uint32_t)(ticks * 5 >> 3);
}

const struct fleet_port board_port = {
    .board = "mps2-an386-emulated",
    .ram = BOARD_RAM,
    .flash = BOARD_FLASH,
    .read = receive,
    .write = send,
    .cycles = instructions,
    .memory_use = cortex_m_memory_use,
};
