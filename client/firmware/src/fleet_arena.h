/* fleet_arena.h: where program, weights, scratch, sample and kept copy lie in the caller's one buffer.
 *
 *     | weights | program | scratch | sample, target |  ...  | kept copy |
 *
 * Weights lie first and the kept copy last, so that another program of as many parameters moves
 * neither. A program on its way in waits below the kept copy; where that is over the program or the
 * weights in force, they are void. Each part begins at a multiple of 8 bytes. */

#ifndef FLEET_ARENA_H
#define FLEET_ARENA_H

#include "kernel/fleet.h"

enum { FLEET_PROGRAM_HEADER = 32, FLEET_PROGRAM_LAYER = 76 };

struct fleet_arena {
    uint8_t *bytes; /* aligned to 8 bytes */
    uint32_t size;  /* a multiple of 8 */
};

/* Bytes of a program of `layers` layers. */
uint32_t fleet_program_bytes(uint32_t layers);

/* Bytes that training `network` needs in all, with or without a kept copy. */
uint32_t fleet_arena_need(const struct fleet_network *network, int keep);

/* Parts of an arena in which `network` lies. */
float *fleet_weights(const struct fleet_arena *arena);
uint8_t *fleet_program(const struct fleet_arena *arena, const struct fleet_network *network);
float *fleet_scratch(const struct fleet_arena *arena, const struct fleet_network *network);
float *fleet_sample(const struct fleet_arena *arena, const struct fleet_network *network);
float *fleet_kept(const struct fleet_arena *arena, const struct fleet_network *network);

/* Bytes between the weights and the kept copy, and where at their end `length` bytes of a program wait. */
uint32_t fleet_arena_free(const struct fleet_arena *arena, const struct fleet_network *network,
                          int keep);
uint8_t *fleet_staged(const struct fleet_arena *arena, const struct fleet_network *network,
                      int keep, uint32_t length);

/* Copy bytes that may overlap. */
void fleet_copy(uint8_t *to, const uint8_t *from, uint32_t count);

/* Read the program of `length` bytes, header and whole layers, in `bytes`, which must be aligned to 4:
 * return FLEET_OK and fill `network` when the kernel passes it, and all its layers are in `kinds`. */
int fleet_read_program(const uint8_t *bytes, uint32_t length, uint32_t kinds,
                       struct fleet_network *network);

#endif
