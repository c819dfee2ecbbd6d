/* fleet_frame.c: COBS (Cheshire & Baker 1999) in place on the way in, piece by piece on the way out. */

#include "fleet_frame.h"

#include "fleet_wire.h"

enum { RUN_MOST = 254 }; /* bytes behind one code byte */

uint32_t fleet_crc(uint32_t crc, const uint8_t *bytes, size_t count) {
    static const uint32_t two_bits[4] = {0x00000000, 0x76dc4190, 0xedb88320, 0x9b64c2b0};
    crc = ~crc;
    for (; count; count--) {
        crc ^= *bytes++;
        for (int i = 0; i < 4; i++) crc = crc >> 2 ^ two_bits[crc & 3];
    }
    return ~crc;
}

size_t fleet_payload_max(size_t size) {
    const size_t most = size - (size / RUN_MOST + 1) - FLEET_HEADER - FLEET_CRC;
    return most < FLEET_PAYLOAD_MOST ? most : FLEET_PAYLOAD_MOST;
}

/* Undo COBS where it lies; return the bytes that are left, 0 for what is not COBS. */
static size_t decode(uint8_t *bytes, size_t count) {
    size_t from = 0, to = 0;
    while (from < count) {
        const size_t code = bytes[from++];
        if (code - 1 > count - from) return 0;
        for (size_t i = 1; i < code; i++) bytes[to++] = bytes[from++];
        if (code <= RUN_MOST && from < count) bytes[to++] = 0;
    }
    return to;
}

/* Whether `count` bytes are a frame; if so, say what it holds. */
static int parse(uint8_t *bytes, size_t count, struct fleet_frame *frame) {
    count = decode(bytes, count);
    if (count < FLEET_HEADER + FLEET_CRC) return 0;
    count -= FLEET_CRC;
    if (fleet_crc(0, bytes, count) != fleet_u32(bytes + count)) return 0;
    frame->type = bytes[0];
    frame->transfer = bytes[1];
    frame->offset = fleet_u32(bytes + 2);
    frame->payload = bytes + FLEET_HEADER;
    frame->length = count - FLEET_HEADER;
    return 1;
}

int fleet_reader_take(struct fleet_reader *reader, uint8_t byte, struct fleet_frame *frame) {
    const size_t count = reader->count;
    if (byte) {
        if (count < reader->size) reader->bytes[count] = byte;
        if (count <= reader->size) reader->count++;
        return 0;
    }
    reader->count = 0;
    if (!count) return 0; /* zeros in a row keep the line in step */
    const int good = count <= reader->size && parse(reader->bytes, count, frame);
    if (good)
        reader->frames++;
    else
        reader->dropped++;
    return good;
}

struct piece {
    const uint8_t *bytes;
    size_t count;
};

static struct piece *past_empty(struct piece *piece, const struct piece *end) {
    while (piece < end && !piece->count) piece++;
    return piece;
}

/* Bytes up to the next zero, at most RUN_MOST. */
static size_t run_length(const struct piece *piece, const struct piece *end) {
    size_t length = 0;
    for (; piece < end; piece++)
        for (size_t i = 0; i < piece->count; i++, length++)
            if (length == RUN_MOST || !piece->bytes[i]) return length;
    return length;
}

static void skip(struct piece *piece, size_t count) {
    piece->bytes += count;
    piece->count -= count;
}

void fleet_frame_send(void (*write)(const uint8_t *bytes, size_t count),
                      const struct fleet_frame *frame) {
    uint8_t header[FLEET_HEADER] = {frame->type, frame->transfer}, crc[FLEET_CRC];
    fleet_put_u32(header + 2, frame->offset);
    fleet_put_u32(crc, fleet_crc(fleet_crc(0, header, sizeof header), frame->payload, frame->length));
    struct piece pieces[] = {
        {header, sizeof header}, {frame->payload, frame->length}, {crc, sizeof crc}};
    struct piece *const end = pieces + sizeof pieces / sizeof *pieces;
    struct piece *at = pieces;
    const uint8_t stop = 0;
    for (int more = 1; more;) {
        size_t left = run_length(at, end);
        const uint8_t code = (uint8_t)(left + 1);
        write(&code, 1);
        while (left) {
            at = past_empty(at, end);
            const size_t part = left < at->count ? left : at->count;
            write(at->bytes, part);
            skip(at, part);
            left -= part;
        }
        at = past_empty(at, end);
        more = at < end;
        if (more && code <= RUN_MOST) skip(at, 1); /* the zero that the code stands for */
    }
    write(&stop, 1);
}
