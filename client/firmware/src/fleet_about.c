/* fleet_about.c: HELLO and COUNTERS: what the device is, and what it has counted. */

#include "fleet_requests.h"
#include "fleet_step.h"

enum { HELLO_FIXED = 40, COUNTERS_BYTES = 36 };

static void put_words(uint8_t *at, const uint32_t *words, int count) {
    for (; count; count--, at += 4) fleet_put_u32(at, *words++);
}

/* Append length u8 and as much of the text as fits; return what follows. */
static uint8_t *put_text(uint8_t *at, const uint8_t *end, const char *text) {
    uint8_t *const length = at++;
    while (*text && at < end && at - length <= 255) *at++ = (uint8_t)*text++;
    *length = (uint8_t)(at - length - 1);
    return at;
}

enum fleet_refusal fleet_hello(struct fleet_device *device, const struct fleet_frame *frame,
                               struct fleet_answer *answer) {
    (void)frame;
    const struct fleet_port *port = device->port;
    const uint32_t payload_max = (uint32_t)fleet_payload_max(device->reader.size);
    uint8_t *const out = device->reader.bytes;
    const uint32_t words[] = {
        FLEET_WIRE | payload_max << 16,
        FLEET_VERSION_MAJOR | FLEET_VERSION_MINOR << 8 | FLEET_VERSION_PATCH << 16,
        device->session,
        port->ram,
        device->arena.size,
        port->flash,
        device->program_crc,
        device->has_weights ? device->weights_crc : 0,
        fleet_kinds(),
        device->steps,
    };
    put_words(out, words, HELLO_FIXED / 4);
    const uint8_t *const end = out + payload_max - 1; /* room for the count of sensors */
    uint8_t *at = put_text(out + HELLO_FIXED, end, port->board);
    uint8_t *const count = at++;
    *count = 0;
    for (const char *const *name = port->sensors; name && *name && at < end; name++, ++*count)
        at = put_text(at, end, *name);
    answer->payload = out;
    answer->length = (uint32_t)(at - out);
    return FLEET_GRANTED;
}

enum fleet_refusal fleet_counters(struct fleet_device *device, const struct fleet_frame *frame,
                                  struct fleet_answer *answer) {
    (void)frame;
    const struct fleet_memory_use use = device->port->memory_use();
    const struct fleet_network *network = &device->network;
    uint8_t *const out = device->reader.bytes;
    const uint32_t words[] = {
        device->steps,
        (uint32_t)device->cycles,
        (uint32_t)(device->cycles >> 32),
        use.stack,
        use.fixed,
        network->layer_count ? fleet_arena_need(network, device->keeps) : 0,
        (uint32_t)device->reader.size,
        device->reader.frames,
        device->reader.dropped,
    };
    put_words(out, words, COUNTERS_BYTES / 4);
    answer->payload = out;
    answer->length = COUNTERS_BYTES;
    return FLEET_GRANTED;
}
