/* fleet_frame.h: frames on a serial line: COBS(type, transfer, offset, payload, CRC-32), then a zero. */

#ifndef FLEET_FRAME_H
#define FLEET_FRAME_H

#include <stddef.h>
#include <stdint.h>

enum {
    FLEET_HEADER = 6,          /* type, transfer, offset */
    FLEET_CRC = 4,
    FLEET_FRAME_LEAST = 128,   /* bytes of the smallest buffer: it holds HELLO's answer */
    FLEET_PAYLOAD_MOST = 65535 /* what a u16 says */
};

struct fleet_frame {
    uint8_t type, transfer;
    uint32_t offset;
    const uint8_t *payload;
    size_t length; /* of the payload */
};

/* Collects bytes in the caller's buffer until a frame is whole. */
struct fleet_reader {
    uint8_t *bytes;
    size_t size, count; /* count is above size when the frame is too long */
    uint32_t frames, dropped;
};

/* CRC-32 of IEEE 802.3, as zlib's: start with 0, go on with what the last call returned. */
uint32_t fleet_crc(uint32_t crc, const uint8_t *bytes, size_t count);

/* The longest payload whose frame fits a buffer of `size` bytes. */
size_t fleet_payload_max(size_t size);

/* Take a byte; return 1 when it ends a good frame, which then lies in `frame` and in the reader's
 * buffer until the next byte. Malformed frames are counted and dropped. */
int fleet_reader_take(struct fleet_reader *reader, uint8_t byte, struct fleet_frame *frame);

/* Send a frame straight from where its payload lies. */
void fleet_frame_send(void (*write)(const uint8_t *bytes, size_t count),
                      const struct fleet_frame *frame);

#endif
