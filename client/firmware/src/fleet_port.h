/* fleet_port.h: what a board must offer. A port is one of these, constant, and lives as long as the device. */

#ifndef FLEET_PORT_H
#define FLEET_PORT_H

#include <stddef.h>
#include <stdint.h>

struct fleet_memory_use {
    uint32_t stack; /* most bytes of stack that were ever in use */
    uint32_t fixed; /* bytes of .data and .bss, but the arena and the frame buffer */
};

struct fleet_port {
    const char *board;          /* UTF-8, such as "nrf52840" */
    const char *const *sensors; /* names, then a null; may be null */
    uint32_t ram, flash;        /* bytes of the board */

    /* Bring at most `most` bytes that have come in; return how many, 0 when none are waiting. */
    size_t (*read)(uint8_t *bytes, size_t most);

    /* Send all of `bytes`; wait where there is no room. */
    void (*write)(const uint8_t *bytes, size_t count);

    /* Wait for the sensor's next sample and its target; return 0 where there is none for such a
     * network. Null on a board without sensors. */
    int (*sense)(float *sample, int32_t inputs, float *target, int32_t outputs);

    /* A clock that goes round: cycles, or instructions in an emulator. */
    uint32_t (*cycles)(void);

    struct fleet_memory_use (*memory_use)(void);
};

#endif
