/* fleet_wire.h: the names of docs/wire.md, part 1, and its little-endian numbers. */

#ifndef FLEET_WIRE_H
#define FLEET_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define FLEET_WIRE 1

enum fleet_message {
    FLEET_HELLO = 0x01,
    FLEET_BEGIN = 0x02,
    FLEET_CHUNK = 0x03,
    FLEET_COMMIT = 0x04,
    FLEET_SENSE = 0x05,
    FLEET_SELECT = 0x06,
    FLEET_READ = 0x07,
    FLEET_COUNTERS = 0x08,
    FLEET_ANSWER = 0x80, /* set in the type of an answer */
    FLEET_REFUSAL = 0xFF,
};

enum fleet_blob {
    FLEET_PROGRAM = 1,
    FLEET_WEIGHTS = 2,
    FLEET_LEARN = 3,
    FLEET_EVALUATE = 4,
};

enum fleet_flag { FLEET_KEEP = 1 };

/* Why a request is refused: ERROR's code. */
enum fleet_refusal {
    FLEET_GRANTED = 0,
    FLEET_UNKNOWN = 1,    /* no such request, or a payload of the wrong length */
    FLEET_TRANSFER = 2,   /* no such transfer under way */
    FLEET_TOO_LARGE = 3,  /* the arena is too small */
    FLEET_CHECKSUM = 4,   /* not the bytes that BEGIN announced */
    FLEET_BAD_PROGRAM = 5,
    FLEET_NOT_READY = 6,  /* no program, weights, kept copy or sensor */
    FLEET_NOT_FINITE = 7, /* weights with NaN or infinity */
    FLEET_LENGTH = 8,     /* a length that does not follow from program and samples */
    FLEET_TRAINING = 9,   /* a rate or a count that no training has */
};

static inline uint32_t fleet_u32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline void fleet_put_u32(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
    at[2] = (uint8_t)(value >> 16);
    at[3] = (uint8_t)(value >> 24);
}

static inline float fleet_f32(uint32_t bits) {
    union {
        uint32_t bits;
        float number;
    } view = {bits};
    return view.number;
}

static inline uint32_t fleet_bits(float number) {
    union {
        float number;
        uint32_t bits;
    } view = {number};
    return view.bits;
}

static inline int fleet_is_finite(float number) {
    return (fleet_bits(number) & 0x7f800000) != 0x7f800000;
}

/* Positive, finite, not NaN. */
static inline int fleet_is_rate(float rate) { return fleet_bits(rate) - 1 < 0x7f800000 - 1; }

#endif
