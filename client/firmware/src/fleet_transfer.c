/* fleet_transfer.c: BEGIN, CHUNK, COMMIT and SENSE: blobs on their way in, and what is learned from them. */

#include "fleet_requests.h"
#include "fleet_step.h"

enum { RESULT_BYTES = 16, SENSED = 0xff };

static void forget_weights(struct fleet_device *device) {
    device->has_weights = device->keeps = 0;
}

static void forget_program(struct fleet_device *device) {
    device->network.layer_count = 0;
    device->program_crc = 0;
}

/* What the last transfer, and SELECT after it, had to say is void. */
static void forget_transfer(struct fleet_device *device) {
    device->transfer.number = 0;
    if (device->keeps == FLEET_ENTRIES) device->keeps = FLEET_NOTHING;
}

static int is_ready(const struct fleet_device *device) {
    return device->network.layer_count && device->has_weights;
}

/* A program that does not fit beside what is in force takes its place at once. */
static enum fleet_refusal begin_program(struct fleet_device *device, uint32_t length,
                                        struct fleet_answer *answer) {
    const struct fleet_arena *const arena = &device->arena;
    const uint32_t least = fleet_program_bytes(1);
    if (length < least || (length - least) % FLEET_PROGRAM_LAYER)
        return fleet_refuse(answer, FLEET_LENGTH, least, length);
    if (length > arena->size) return fleet_refuse(answer, FLEET_TOO_LARGE, length, arena->size);
    struct fleet_network *const network = &device->network;
    if (length > fleet_arena_free(arena, network, device->keeps)) {
        forget_program(device);
        forget_weights(device);
        network->parameters = 0;
    }
    if (network->layer_count && fleet_staged(arena, network, device->keeps, length) <
                                    (uint8_t *)fleet_scratch(arena, network))
        forget_program(device);
    return FLEET_GRANTED;
}

static enum fleet_refusal begin_weights(struct fleet_device *device, uint32_t length, int keep,
                                        struct fleet_answer *answer) {
    if (!device->network.layer_count) return FLEET_NOT_READY;
    const uint32_t expected = 4 * (uint32_t)device->network.parameters;
    if (length != expected) return fleet_refuse(answer, FLEET_LENGTH, expected, length);
    const uint32_t need = fleet_arena_need(&device->network, keep);
    if (need > device->arena.size)
        return fleet_refuse(answer, FLEET_TOO_LARGE, need, device->arena.size);
    forget_weights(device);
    return FLEET_GRANTED;
}

static uint32_t sample_bytes(const struct fleet_device *device) {
    return 4 * (uint32_t)(device->network.inputs + device->network.outputs);
}

static enum fleet_refusal begin_stream(const struct fleet_device *device, uint32_t samples,
                                       uint32_t passes, struct fleet_answer *answer) {
    const struct fleet_transfer *const transfer = &device->transfer;
    const int learns = transfer->kind == FLEET_LEARN;
    if (!is_ready(device)) return FLEET_NOT_READY;
    if (!samples || !passes || (learns ? !fleet_is_rate(transfer->rate) : passes != 1))
        return FLEET_TRAINING;
    const uint64_t rows = (uint64_t)samples * passes;
    const uint32_t size = sample_bytes(device), length = transfer->length;
    if (rows != length / size || length % size)
        return fleet_refuse(answer, FLEET_LENGTH, (uint32_t)rows * size, length);
    return FLEET_GRANTED;
}

enum fleet_refusal fleet_begin(struct fleet_device *device, const struct fleet_frame *frame,
                               struct fleet_answer *answer) {
    struct fleet_transfer *const transfer = &device->transfer;
    const uint8_t *const in = frame->payload;
    const uint32_t length = fleet_u32(in + 4), announced = fleet_u32(in + 8);
    if (!frame->transfer) return FLEET_TRANSFER;
    if (transfer->number == frame->transfer && transfer->kind == in[0] &&
        transfer->length == length && transfer->announced == announced)
        return fleet_answer_u32(answer, transfer->offset); /* it goes on, or is done already */
    forget_transfer(device);
    *transfer = (struct fleet_transfer){
        .kind = in[0], .flags = in[1], .length = length, .announced = announced};
    enum fleet_refusal refusal = FLEET_UNKNOWN;
    if (transfer->kind == FLEET_LEARN) transfer->rate = fleet_f32(fleet_u32(in + 12));
    if (transfer->kind == FLEET_PROGRAM)
        refusal = begin_program(device, length, answer);
    else if (transfer->kind == FLEET_WEIGHTS)
        refusal = begin_weights(device, length, transfer->flags & FLEET_KEEP, answer);
    else if (transfer->kind == FLEET_LEARN || transfer->kind == FLEET_EVALUATE)
        refusal = begin_stream(device, fleet_u32(in + 16), fleet_u32(in + 20), answer);
    if (refusal) return refusal;
    transfer->number = frame->transfer;
    return fleet_answer_u32(answer, 0);
}

/* Score the sample that lies in the arena, and learn from it unless it is for evaluation. */
static void score(struct fleet_device *device) {
    const struct fleet_network *const network = &device->network;
    struct fleet_transfer *const transfer = &device->transfer;
    float *const sample = fleet_sample(&device->arena, network);
    const uint32_t before = device->port->cycles();
    const struct fleet_score scored = fleet_step(
        network, transfer->rate, fleet_weights(&device->arena), sample,
        sample + network->inputs, fleet_scratch(&device->arena, network));
    if (transfer->kind != FLEET_EVALUATE) {
        device->cycles += device->port->cycles() - before;
        device->steps++;
    }
    transfer->result.samples++;
    transfer->result.hits += (uint32_t)scored.hit;
    transfer->result.loss += scored.loss;
}

static void take_samples(struct fleet_device *device, const uint8_t *bytes, uint32_t count) {
    struct fleet_transfer *const transfer = &device->transfer;
    const uint32_t size = sample_bytes(device);
    uint8_t *const sample = (uint8_t *)fleet_sample(&device->arena, &device->network);
    while (count) {
        const uint32_t missing = size - transfer->filled;
        const uint32_t part = count < missing ? count : missing;
        fleet_copy(sample + transfer->filled, bytes, part);
        transfer->filled += part;
        bytes += part;
        count -= part;
        if (transfer->filled < size) continue;
        transfer->filled = 0;
        score(device);
    }
}

static int is_under_way(const struct fleet_transfer *transfer, const struct fleet_frame *frame) {
    return transfer->number && transfer->number == frame->transfer && transfer->kind != SENSED;
}

enum fleet_refusal fleet_chunk(struct fleet_device *device, const struct fleet_frame *frame,
                               struct fleet_answer *answer) {
    struct fleet_transfer *const transfer = &device->transfer;
    if (!is_under_way(transfer, frame)) return FLEET_TRANSFER;
    const uint32_t count = (uint32_t)frame->length, left = transfer->length - transfer->offset;
    if (frame->offset != transfer->offset || transfer->done)
        return fleet_answer_u32(answer, transfer->offset);
    if (count > left)
        return fleet_refuse(answer, FLEET_LENGTH, transfer->length, transfer->offset + count);
    if (transfer->kind == FLEET_PROGRAM) {
        uint8_t *const place = fleet_staged(&device->arena, &device->network, device->keeps,
                                            transfer->length);
        fleet_copy(place + transfer->offset, frame->payload, count);
    } else if (transfer->kind == FLEET_WEIGHTS) {
        uint8_t *const place = (uint8_t *)fleet_weights(&device->arena);
        fleet_copy(place + transfer->offset, frame->payload, count);
    } else {
        take_samples(device, frame->payload, count);
    }
    transfer->crc = fleet_crc(transfer->crc, frame->payload, count);
    transfer->offset += count;
    return fleet_answer_u32(answer, transfer->offset);
}

static enum fleet_refusal commit_program(struct fleet_device *device, struct fleet_answer *answer) {
    const uint32_t length = device->transfer.length;
    const struct fleet_arena *const arena = &device->arena;
    struct fleet_network network;
    const uint8_t *const from = fleet_staged(arena, &device->network, device->keeps, length);
    if (fleet_read_program(from, length, fleet_kinds(), &network)) return FLEET_BAD_PROGRAM;
    const int stays = network.parameters == device->network.parameters;
    const uint32_t need = fleet_arena_need(&network, stays && device->keeps);
    if (need > arena->size) return fleet_refuse(answer, FLEET_TOO_LARGE, need, arena->size);
    if (!stays) forget_weights(device);
    uint8_t *const place = fleet_program(arena, &network);
    fleet_copy(place, from, length);
    network.layers = (const struct fleet_layer *)(const void *)(place + FLEET_PROGRAM_HEADER);
    device->network = network;
    device->program_crc = device->transfer.announced;
    return FLEET_GRANTED;
}

static enum fleet_refusal commit_weights(struct fleet_device *device) {
    const float *const weights = fleet_weights(&device->arena);
    const int32_t count = device->network.parameters;
    for (int32_t i = 0; i < count; i++)
        if (!fleet_is_finite(weights[i])) return FLEET_NOT_FINITE;
    device->has_weights = 1;
    device->weights_crc = device->transfer.announced;
    if (device->transfer.flags & FLEET_KEEP) {
        float *const kept = fleet_kept(&device->arena, &device->network);
        for (int32_t i = 0; i < count; i++) kept[i] = weights[i];
        device->keeps = FLEET_COPY;
    }
    return FLEET_GRANTED;
}

static enum fleet_refusal finish(struct fleet_device *device, struct fleet_answer *answer) {
    struct fleet_transfer *const transfer = &device->transfer;
    if (transfer->crc != transfer->announced) {
        if (transfer->kind == FLEET_LEARN) forget_weights(device);
        return FLEET_CHECKSUM;
    }
    if (transfer->kind == FLEET_PROGRAM) return commit_program(device, answer);
    if (transfer->kind == FLEET_WEIGHTS) return commit_weights(device);
    return FLEET_GRANTED;
}

static enum fleet_refusal answer_result(const struct fleet_transfer *transfer,
                                        struct fleet_answer *answer) {
    const struct fleet_result *const result = &transfer->result;
    const uint8_t kind = transfer->kind == SENSED ? FLEET_LEARN : transfer->kind;
    float loss = 0.0f;
    if (result->samples) loss = result->loss * (1.0f / (float)result->samples); /* as the host does */
    fleet_put_u32(answer->small, kind);
    fleet_put_u32(answer->small + 4, result->samples);
    fleet_put_u32(answer->small + 8, result->hits);
    fleet_put_u32(answer->small + 12, fleet_bits(loss));
    answer->length = RESULT_BYTES;
    return FLEET_GRANTED;
}

enum fleet_refusal fleet_commit(struct fleet_device *device, const struct fleet_frame *frame,
                                struct fleet_answer *answer) {
    struct fleet_transfer *const transfer = &device->transfer;
    if (!is_under_way(transfer, frame)) return FLEET_TRANSFER;
    if (transfer->offset < transfer->length)
        return fleet_refuse(answer, FLEET_LENGTH, transfer->length, transfer->offset);
    if (!transfer->done) {
        const enum fleet_refusal refusal = finish(device, answer);
        if (refusal) {
            transfer->number = 0;
            return refusal;
        }
        transfer->done = 1;
    }
    return answer_result(transfer, answer);
}

enum fleet_refusal fleet_sense(struct fleet_device *device, const struct fleet_frame *frame,
                               struct fleet_answer *answer) {
    struct fleet_transfer *const transfer = &device->transfer;
    if (!frame->transfer) return FLEET_TRANSFER;
    if (transfer->number == frame->transfer && transfer->kind == SENSED)
        return answer_result(transfer, answer);
    forget_transfer(device);
    const float rate = fleet_f32(fleet_u32(frame->payload));
    const uint32_t samples = fleet_u32(frame->payload + 4);
    const struct fleet_network *const network = &device->network;
    if (!device->port->sense || !is_ready(device)) return FLEET_NOT_READY;
    if (!samples || !fleet_is_rate(rate)) return FLEET_TRAINING;
    *transfer = (struct fleet_transfer){.kind = SENSED, .rate = rate};
    float *const sample = fleet_sample(&device->arena, network);
    while (transfer->result.samples < samples) {
        if (!device->port->sense(sample, network->inputs, sample + network->inputs,
                                 network->outputs))
            return FLEET_NOT_READY;
        score(device);
    }
    transfer->number = frame->transfer;
    return answer_result(transfer, answer);
}
