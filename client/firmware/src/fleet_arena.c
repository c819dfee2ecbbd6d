/* fleet_arena.c: the layout of the arena, and what a program says. */

#include "fleet_arena.h"

#include "fleet_wire.h"

/* The largest network that fleet_check_network passes stays below 2^32 bytes: five parts of 2^29. */
static uint32_t part(uint32_t bytes) { return (bytes + 7) & ~(uint32_t)7; }

static uint32_t floats(int32_t count) { return part(4 * (uint32_t)count); }

uint32_t fleet_program_bytes(uint32_t layers) {
    return FLEET_PROGRAM_HEADER + FLEET_PROGRAM_LAYER * layers;
}

static uint32_t program_part(const struct fleet_network *net) {
    return part(fleet_program_bytes((uint32_t)net->layer_count));
}

uint32_t fleet_arena_need(const struct fleet_network *net, int keep) {
    return floats(net->parameters) * (keep ? 2 : 1) + program_part(net) + floats(net->scratch) +
           floats(net->inputs + net->outputs);
}

float *fleet_weights(const struct fleet_arena *arena) { return (float *)(void *)arena->bytes; }

uint8_t *fleet_program(const struct fleet_arena *arena, const struct fleet_network *net) {
    return arena->bytes + floats(net->parameters);
}

float *fleet_scratch(const struct fleet_arena *arena, const struct fleet_network *net) {
    return (float *)(void *)(fleet_program(arena, net) + program_part(net));
}

float *fleet_sample(const struct fleet_arena *arena, const struct fleet_network *net) {
    return fleet_scratch(arena, net) + floats(net->scratch) / 4;
}

float *fleet_kept(const struct fleet_arena *arena, const struct fleet_network *net) {
    return (float *)(void *)(arena->bytes + arena->size - floats(net->parameters));
}

uint32_t fleet_arena_free(const struct fleet_arena *arena, const struct fleet_network *net,
                          int keep) {
    return arena->size - floats(net->parameters) * (keep ? 2 : 1);
}

uint8_t *fleet_staged(const struct fleet_arena *arena, const struct fleet_network *net, int keep,
                      uint32_t length) {
    return fleet_program(arena, net) + fleet_arena_free(arena, net, keep) - length;
}

void fleet_copy(uint8_t *to, const uint8_t *from, uint32_t count) {
    if (to <= from)
        for (uint32_t i = 0; i < count; i++) to[i] = from[i];
    else
        while (count--) to[count] = from[count];
}

int fleet_read_program(const uint8_t *bytes, uint32_t length, uint32_t kinds,
                       struct fleet_network *net) {
    const int32_t *header = (const int32_t *)(const void *)bytes;
    net->layers = (const struct fleet_layer *)(const void *)(bytes + FLEET_PROGRAM_HEADER);
    net->layer_count = header[0];
    net->first_trainable = header[1];
    net->loss = header[2];
    net->parameters = header[3];
    net->inputs = header[4];
    net->outputs = header[5];
    net->scratch = header[6];
    const uint32_t layers = (length - FLEET_PROGRAM_HEADER) / FLEET_PROGRAM_LAYER;
    if (net->layer_count != (int32_t)layers) return FLEET_ERROR_SHAPE;
    for (uint32_t i = 0; i < layers; i++) {
        const uint32_t kind = (uint32_t)net->layers[i].kind;
        if (kind >= FLEET_KINDS || !(kinds >> kind & 1)) return FLEET_ERROR_KIND;
    }
    return fleet_check_network(net);
}
