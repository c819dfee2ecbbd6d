/* fleet_select.c: SELECT and READ: what goes back to the gateway.
 *
 * The size of a float32 is as its bits are, read as a whole number. So the smallest change that is chosen
 * is found bit by bit, with one walk over the weights for each bit and no memory. The places of the
 * chosen then take the place of the kept copy, which has been read by then. */

#include "fleet_requests.h"

enum { SELECT_FIXED = 8, SELECT_RANGE = 8, BLOB_WEIGHTS = 1, BLOB_ENTRIES = 2 };

struct choice {
    const float *weights;
    float *kept;
    const uint8_t *ranges; /* start u32, stop u32, as they came */
    uint32_t range_count;
};

static uint32_t moved(const struct choice *c, uint32_t i) {
    return fleet_bits(c->weights[i] - c->kept[i]) & 0x7fffffff;
}

static uint32_t start(const struct choice *c, uint32_t r) {
    return fleet_u32(c->ranges + SELECT_RANGE * r);
}

static uint32_t stop(const struct choice *c, uint32_t r) {
    return fleet_u32(c->ranges + SELECT_RANGE * r + 4);
}

/* How many entries moved by `least` or more. */
static uint32_t count_moved(const struct choice *c, uint32_t least) {
    uint32_t count = 0;
    for (uint32_t r = 0; r < c->range_count; r++)
        for (uint32_t i = start(c, r), end = stop(c, r); i < end; i++)
            count += moved(c, i) >= least;
    return count;
}

/* Whether the ranges ascend, without overlap, inside the vector. */
static int is_ascending(const struct choice *c, uint32_t parameters) {
    uint32_t last = 0;
    for (uint32_t r = 0; r < c->range_count; r++) {
        if (start(c, r) < last || stop(c, r) < start(c, r)) return 0;
        last = stop(c, r);
    }
    return last <= parameters;
}

static int all_finite(const float *weights, int32_t count) {
    while (count--)
        if (!fleet_is_finite(*weights++)) return 0;
    return 1;
}

/* Write the places of the `count` entries that moved most over the kept copy, ascending. */
static void choose(const struct choice *c, uint32_t count) {
    uint32_t least = 0;
    for (uint32_t bit = (uint32_t)1 << 30; bit; bit >>= 1)
        if (count_moved(c, least | bit) >= count) least |= bit;
    uint32_t equal = count - count_moved(c, least + 1);
    uint8_t *out = (uint8_t *)c->kept;
    for (uint32_t r = 0; r < c->range_count; r++)
        for (uint32_t i = start(c, r), end = stop(c, r); i < end; i++) {
            const uint32_t size = moved(c, i);
            if (size < least || (size == least && !equal)) continue;
            if (size == least) equal--;
            fleet_put_u32(out, i);
            out += 4;
        }
}

enum fleet_refusal fleet_select(struct fleet_device *device, const struct fleet_frame *frame,
                                struct fleet_answer *answer) {
    if (device->keeps == FLEET_ENTRIES && frame->transfer == device->entries_transfer)
        return fleet_answer_u32(answer, device->entries);
    if (frame->length < SELECT_FIXED) return FLEET_UNKNOWN;
    const struct choice c = {fleet_weights(&device->arena),
                             fleet_kept(&device->arena, &device->network),
                             frame->payload + SELECT_FIXED, fleet_u32(frame->payload + 4)};
    if (c.range_count != (frame->length - SELECT_FIXED) / SELECT_RANGE ||
        frame->length % SELECT_RANGE)
        return FLEET_UNKNOWN;
    if (!device->network.layer_count || device->keeps != FLEET_COPY) return FLEET_NOT_READY;
    const uint32_t parameters = (uint32_t)device->network.parameters;
    if (!is_ascending(&c, parameters))
        return fleet_refuse(answer, FLEET_LENGTH, parameters, stop(&c, c.range_count - 1));
    if (!all_finite(c.weights, device->network.parameters)) return fleet_answer_u32(answer, 0);
    const uint32_t wanted = fleet_u32(frame->payload), all = count_moved(&c, 0);
    device->entries = wanted < all ? wanted : all;
    choose(&c, device->entries);
    device->keeps = FLEET_ENTRIES;
    device->entries_transfer = frame->transfer;
    return fleet_answer_u32(answer, device->entries);
}

/* Gather the values of the chosen entries, byte by byte, behind their places. */
static void gather(const struct fleet_device *device, uint32_t from, uint32_t count, uint8_t *out) {
    const uint8_t *const places = (const uint8_t *)fleet_kept(&device->arena, &device->network);
    const uint8_t *const weights = (const uint8_t *)fleet_weights(&device->arena);
    const uint32_t behind = 4 * device->entries;
    for (uint32_t at = from; at < from + count; at++)
        *out++ = at < behind ? places[at]
                             : weights[4 * fleet_u32(places + ((at - behind) & ~(uint32_t)3)) +
                                       (at & 3)];
}

enum fleet_refusal fleet_read(struct fleet_device *device, const struct fleet_frame *frame,
                              struct fleet_answer *answer) {
    const uint8_t blob = frame->payload[0];
    const uint32_t length = (uint32_t)frame->payload[2] | (uint32_t)frame->payload[3] << 8;
    if (blob != BLOB_WEIGHTS && blob != BLOB_ENTRIES) return FLEET_UNKNOWN;
    const int ready = blob == BLOB_WEIGHTS ? device->has_weights : device->keeps == FLEET_ENTRIES;
    if (!device->network.layer_count || !ready) return FLEET_NOT_READY;
    const uint32_t size = blob == BLOB_WEIGHTS ? 4 * (uint32_t)device->network.parameters
                                               : 8 * device->entries;
    const uint32_t most = (uint32_t)fleet_payload_max(device->reader.size);
    if (length > most) return fleet_refuse(answer, FLEET_LENGTH, length, most);
    if (frame->offset > size || length > size - frame->offset)
        return fleet_refuse(answer, FLEET_LENGTH, size, frame->offset);
    answer->payload = (const uint8_t *)fleet_weights(&device->arena) + frame->offset;
    answer->length = length;
    if (blob == BLOB_ENTRIES) {
        gather(device, frame->offset, length, device->reader.bytes);
        answer->payload = device->reader.bytes;
    }
    return FLEET_GRANTED;
}
