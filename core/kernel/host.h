/* host.h: the kernel on a gateway or a server: many devices in one call, in the widest variant that
 * the processor has. */

#ifndef FLEET_HOST_H
#define FLEET_HOST_H

#include "fleet.h"

/* Devices, their starting weights and their streams; all streams have the same length. */
struct fleet_stream {
    int32_t devices;
    int32_t samples;
    int64_t start_apart; /* floats between the vectors of two devices; 0 when all start alike */
    int64_t x_apart, y_apart;
    const float *start; /* [parameters] */
    const float *x;     /* [samples][inputs] of the first device */
    const float *y;     /* [samples][outputs] of the first device; not read when predicting */
};

struct fleet_variant {
    const char *name;
    int32_t lanes; /* devices side by side */
    int (*runs_here)(void);
    int (*learn)(const struct fleet_network *, const struct fleet_training *,
                 const struct fleet_stream *, float *weights, float *losses, float *memory);
    int (*predict)(const struct fleet_network *, const struct fleet_stream *, float *outputs,
                   float *memory);
};

int fleet_variant_count(void);

/* Return the name of a variant; NULL when there is none or this processor cannot run it. */
const char *fleet_variant_name(int variant);

/* Return how many devices a variant trains side by side. */
int fleet_variant_lanes(int variant);

/* Floats of memory for one call; `memory` must be aligned to 64 bytes. */
int64_t fleet_call_memory(int variant, const struct fleet_network *network,
                          const struct fleet_training *training);

/* Train every device of the stream from its start; write `weights` [devices][parameters] and the
 * mean loss of the samples, each scored before it was learned, `losses` [devices]. */
int fleet_learn(int variant, const struct fleet_network *network,
                const struct fleet_training *training, const struct fleet_stream *stream,
                float *weights, float *losses, float *memory);

/* Write the outputs of every device for every sample, [devices][samples][outputs]. */
int fleet_predict(int variant, const struct fleet_network *network,
                  const struct fleet_stream *stream, float *outputs, float *memory);

#endif
