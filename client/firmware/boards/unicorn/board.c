/* board.c: the port of the board that tinyfleet emulates with unicorn; README.md lists the registers. */

#include "cortex_m.h"

#define AVAILABLE REGISTER(0x40002004)
#define CYCLES REGISTER(0x40002008)
#define FAULT REGISTER(0x40002010)
#define SEED REGISTER(0x40002014)
#define ADDRESS REGISTER(0x40002018)
#define RECEIVE REGISTER(0x4000201c)
#define SEND REGISTER(0x40002020)

enum { FAULT_OF_PROCESSOR = 1 };

uint32_t board_start(void) { return SEED; }

void board_fault(void) { FAULT = FAULT_OF_PROCESSOR; }

__attribute__((noinline)) void fleet_idle(void) {
    while (!AVAILABLE) {
    }
}

static size_t receive(uint8_t *bytes, size_t most) {
    const uint32_t waiting = AVAILABLE;
    const uint32_t count = waiting < most ? waiting : (uint32_t)most;
    if (!count) return 0;
    ADDRESS = (uint32_t)(uintptr_t)bytes;
    RECEIVE = count;
    __asm__ volatile("" ::: "memory"); /* the bytes came behind the compiler's back */
    return count;
}

static void send(const uint8_t *bytes, size_t count) {
    __asm__ volatile("" ::: "memory");
    ADDRESS = (uint32_t)(uintptr_t)bytes;
    SEND = (uint32_t)count;
}

static uint32_t instructions(void) { return CYCLES; }

const struct fleet_port board_port = {
    .board = "nrf52840-emulated",
    .ram = BOARD_RAM,
    .flash = BOARD_FLASH,
    .read = receive,
    .write = send,
    .cycles = instructions,
    .memory_use = cortex_m_memory_use,
};
