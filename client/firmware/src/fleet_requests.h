/* fleet_requests.h: the requests, one function for each, which a payload of the right length reaches. Each
 * returns why it refuses, or FLEET_GRANTED with its answer filled in. */

#ifndef FLEET_REQUESTS_H
#define FLEET_REQUESTS_H

#include "fleet_device.h"

enum { FLEET_SMALL_ANSWER = 16 };

struct fleet_answer {
    const uint8_t *payload; /* `small`, the frame's buffer, or the weights themselves */
    uint32_t length;
    uint32_t need, have; /* of a refusal */
    uint8_t small[FLEET_SMALL_ANSWER];
};

/* Refuse, saying how much it would take and how much there is. */
enum fleet_refusal fleet_refuse(struct fleet_answer *answer, enum fleet_refusal why, uint32_t need,
                                uint32_t have);

/* Answer one number. */
enum fleet_refusal fleet_answer_u32(struct fleet_answer *answer, uint32_t value);

/* fleet_transfer.c */
enum fleet_refusal fleet_begin(struct fleet_device *device, const struct fleet_frame *frame,
                               struct fleet_answer *answer);
enum fleet_refusal fleet_chunk(struct fleet_device *device, const struct fleet_frame *frame,
                               struct fleet_answer *answer);
enum fleet_refusal fleet_commit(struct fleet_device *device, const struct fleet_frame *frame,
                                struct fleet_answer *answer);
enum fleet_refusal fleet_sense(struct fleet_device *device, const struct fleet_frame *frame,
                               struct fleet_answer *answer);

/* fleet_select.c */
enum fleet_refusal fleet_select(struct fleet_device *device, const struct fleet_frame *frame,
                                struct fleet_answer *answer);
enum fleet_refusal fleet_read(struct fleet_device *device, const struct fleet_frame *frame,
                              struct fleet_answer *answer);

/* fleet_about.c */
enum fleet_refusal fleet_hello(struct fleet_device *device, const struct fleet_frame *frame,
                               struct fleet_answer *answer);
enum fleet_refusal fleet_counters(struct fleet_device *device, const struct fleet_frame *frame,
                                  struct fleet_answer *answer);

#endif
