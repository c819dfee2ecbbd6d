/* cortex_m.h: what a board's port and the startup know of each other. */

#ifndef FLEET_CORTEX_M_H
#define FLEET_CORTEX_M_H

#include "fleet_device.h"

enum { BOARD_RAM = 256 * 1024, BOARD_FLASH = 1024 * 1024 };

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* From the board: its port; what sets it up and returns the session; how it ends after a fault. */
extern const struct fleet_port board_port;
uint32_t board_start(void);
void board_fault(void);

/* Wait until bytes have come. */
void fleet_idle(void);

/* From the startup. */
struct fleet_memory_use cortex_m_memory_use(void);

#endif
