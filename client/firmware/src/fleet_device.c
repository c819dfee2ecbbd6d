/* fleet_device.c: the message loop: a frame comes in, one answer goes out. */

#include "fleet_device.h"

#include "fleet_requests.h"

enum { GULP = 64, REFUSAL_BYTES = 12, ANY = 0xffff };

void fleet_device_start(struct fleet_device *device, const struct fleet_port *port,
                        struct fleet_buffers buffers, uint32_t session) {
    *device = (struct fleet_device){0};
    device->port = port;
    device->session = session;
    device->reader.bytes = buffers.frame;
    device->reader.size = buffers.frame_size;
    device->arena.bytes = buffers.arena;
    device->arena.size = buffers.arena_size & ~(uint32_t)7;
}

enum fleet_refusal fleet_refuse(struct fleet_answer *answer, enum fleet_refusal why, uint32_t need,
                                uint32_t have) {
    answer->need = need;
    answer->have = have;
    return why;
}

enum fleet_refusal fleet_answer_u32(struct fleet_answer *answer, uint32_t value) {
    fleet_put_u32(answer->small, value);
    answer->length = 4;
    return FLEET_GRANTED;
}

static enum fleet_refusal follow(struct fleet_device *device, const struct fleet_frame *frame,
                                 struct fleet_answer *answer) {
    static const struct {
        enum fleet_refusal (*answer)(struct fleet_device *, const struct fleet_frame *,
                                     struct fleet_answer *);
        size_t payload; /* bytes */
    } requests[] = {
        [FLEET_HELLO] = {fleet_hello, 0},     [FLEET_BEGIN] = {fleet_begin, 24},
        [FLEET_CHUNK] = {fleet_chunk, ANY},   [FLEET_COMMIT] = {fleet_commit, 0},
        [FLEET_SENSE] = {fleet_sense, 8},     [FLEET_SELECT] = {fleet_select, ANY},
        [FLEET_READ] = {fleet_read, 4},       [FLEET_COUNTERS] = {fleet_counters, 0},
    };
    if (frame->type < FLEET_HELLO || frame->type > FLEET_COUNTERS) return FLEET_UNKNOWN;
    const size_t expected = requests[frame->type].payload;
    if (expected != ANY && frame->length != expected) return FLEET_UNKNOWN;
    return requests[frame->type].answer(device, frame, answer);
}

static void serve(struct fleet_device *device, const struct fleet_frame *request) {
    struct fleet_answer answer;
    answer.payload = answer.small;
    answer.length = answer.need = answer.have = 0;
    const enum fleet_refusal refusal = follow(device, request, &answer);
    struct fleet_frame reply = {(uint8_t)(request->type | FLEET_ANSWER), request->transfer,
                                request->offset, answer.payload, answer.length};
    if (refusal) {
        reply.type = FLEET_REFUSAL;
        reply.payload = answer.small;
        reply.length = REFUSAL_BYTES;
        fleet_put_u32(answer.small, refusal);
        fleet_put_u32(answer.small + 4, answer.need);
        fleet_put_u32(answer.small + 8, answer.have);
    }
    fleet_frame_send(device->port->write, &reply);
}

void fleet_device_poll(struct fleet_device *device) {
    uint8_t bytes[GULP];
    struct fleet_frame frame;
    const size_t count = device->port->read(bytes, sizeof bytes);
    for (size_t i = 0; i < count; i++)
        if (fleet_reader_take(&device->reader, bytes[i], &frame)) serve(device, &frame);
}
