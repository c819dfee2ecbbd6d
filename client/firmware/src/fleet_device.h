/* fleet_device.h: a device that answers its gateway: docs/wire.md, part 1.
 *
 *     static uint8_t frame[512];
 *     static uint64_t arena[1536];
 *     fleet_device_start(&device, &port, buffers, session);
 *     for (;;) fleet_device_poll(&device);
 *
 * The caller owns every buffer; a device calls nothing but its port. */

#ifndef FLEET_DEVICE_H
#define FLEET_DEVICE_H

#include "fleet_arena.h"
#include "fleet_frame.h"
#include "fleet_port.h"
#include "fleet_version.h"
#include "fleet_wire.h"

#ifdef __cplusplus
extern "C" {
#endif

struct fleet_buffers {
    uint8_t *frame; /* FLEET_FRAME_LEAST bytes or more: the longest frame that the device takes */
    uint32_t frame_size;
    void *arena; /* aligned to 8 bytes; fleet_arena_need says how much a network takes */
    uint32_t arena_size;
};

enum fleet_keeps { FLEET_NOTHING = 0, FLEET_COPY = 1, FLEET_ENTRIES = 2 };

/* What COMMIT and SENSE answer. */
struct fleet_result {
    uint32_t samples, hits;
    float loss; /* the sum; answers give the mean */
};

/* The transfer under way, or the last one; number 0 stands for none. */
struct fleet_transfer {
    uint8_t number, kind, flags, done;
    uint32_t length, announced; /* bytes, and their CRC-32 */
    uint32_t offset, crc;       /* of what has come */
    uint32_t filled;            /* bytes of the sample that is on its way in */
    float rate;
    struct fleet_result result;
};

struct fleet_device {
    const struct fleet_port *port;
    struct fleet_reader reader;
    struct fleet_arena arena;
    struct fleet_network network; /* layer_count 0: none */
    struct fleet_transfer transfer;
    uint32_t session, program_crc, weights_crc, steps;
    uint64_t cycles;
    uint32_t entries; /* that SELECT chose, under its transfer's number */
    uint8_t has_weights, entries_transfer;
    uint8_t keeps; /* enum fleet_keeps: what lies in the kept copy's place */
};

/* Begin without program and weights; `session` is another number after each restart. */
void fleet_device_start(struct fleet_device *device, const struct fleet_port *port,
                        struct fleet_buffers buffers, uint32_t session);

/* Take the bytes that wait at the port and answer the requests that end in them. */
void fleet_device_poll(struct fleet_device *device);

#ifdef __cplusplus
}
#endif

#endif
