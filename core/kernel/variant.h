/* variant.h: one build of the kernel for many devices, `FLEET_LANES` of them side by side.
 *
 * A source file sets FLEET_LANES and FLEET_VARIANT (and the processor's instructions), then includes
 * this. It defines fleet_VARIANT_learn and fleet_VARIANT_predict. */

#include "batch.h"
#include "host.h"

#define JOIN2(a, b, c) a##b##c
#define JOIN(a, b, c) JOIN2(a, b, c)
#define VARIANT(name) JOIN(fleet_, FLEET_VARIANT, name)

/* Which device a lane stands for: lanes past the last device repeat it. */
static int32_t device_of(int32_t at, int32_t first, int32_t devices) {
    return first + at < devices ? first + at : devices - 1;
}

/* Bring `count` floats of each device together; a device's floats lie `apart` floats apart. */
static void lanes_in(const float *from, int64_t apart, int32_t count, int32_t first,
                     int32_t devices, lane *to) {
    const float *rows[FLEET_LANES];
    float *flat = (float *)to;
    for (int32_t k = 0; k < FLEET_LANES; k++) rows[k] = from + apart * device_of(k, first, devices);
    for (int32_t i = 0; i < count; i++)
        for (int32_t k = 0; k < FLEET_LANES; k++) flat[i * FLEET_LANES + k] = rows[k][i];
}

static void lanes_out(const lane *from, int64_t apart, int32_t count, int32_t first,
                      int32_t devices, float *to) {
    const float *flat = (const float *)from;
    for (int32_t k = 0; k < FLEET_LANES && first + k < devices; k++) {
        float *row = to + apart * (first + k);
        for (int32_t i = 0; i < count; i++) row[i] = flat[i * FLEET_LANES + k];
    }
}

/* The group's memory: weights, scratch, one sample, one target, then what a batch needs. */
struct group {
    lane *weights, *scratch, *sample, *target, *batch;
};

static struct group group_at(const struct fleet_network *net, float *memory) {
    struct group g;
    g.weights = (lane *)memory;
    g.scratch = g.weights + net->parameters;
    g.sample = g.scratch + net->scratch;
    g.target = g.sample + net->inputs;
    g.batch = g.target + net->outputs;
    return g;
}

static lane group_learn(const struct fleet_network *net, const struct fleet_training *training,
                        const struct fleet_stream *stream, struct group g, int32_t first) {
    const int online =
        training->batch == 1 && training->optimizer == FLEET_SGD && training->proximal == 0.0f;
    const int32_t n = stream->samples;
    struct step step = {training->rate, g.batch - g.weights};
    struct batch_memory batch = {0};
    lane loss = (lane){0};
    if (!online) batch = batch_memory_at(net, training, g.batch, g.weights);
    for (int32_t pass = 0; pass < training->passes; pass++) {
        for (int32_t t = 0; t < n; t++) {
            lanes_in(stream->x + (int64_t)t * net->inputs, stream->x_apart, net->inputs, first,
                     stream->devices, g.sample);
            lanes_in(stream->y + (int64_t)t * net->outputs, stream->y_apart, net->outputs, first,
                     stream->devices, g.target);
            loss += learn_sample(net, &step, online ? MODE_ONLINE : MODE_BATCH, g.weights, g.sample,
                                 g.target, g.scratch);
            const int32_t done = t % training->batch + 1;
            if (!online && (done == training->batch || t + 1 == n))
                batch_end(net, training, &batch, g.weights, done);
        }
    }
    return loss * (1.0f / (float)(n * training->passes));
}

int VARIANT(_learn)(const struct fleet_network *net, const struct fleet_training *training,
                    const struct fleet_stream *stream, float *weights, float *losses,
                    float *memory) {
    const struct group g = group_at(net, memory);
    for (int32_t first = 0; first < stream->devices; first += FLEET_LANES) {
        lanes_in(stream->start, stream->start_apart, net->parameters, first, stream->devices,
                 g.weights);
        const lane loss = group_learn(net, training, stream, g, first);
        lanes_out(g.weights, net->parameters, net->parameters, first, stream->devices, weights);
        lanes_out(&loss, 1, 1, first, stream->devices, losses);
    }
    return FLEET_OK;
}

int VARIANT(_predict)(const struct fleet_network *net, const struct fleet_stream *stream,
                      float *outputs, float *memory) {
    const struct group g = group_at(net, memory);
    const int64_t apart = (int64_t)stream->samples * net->outputs;
    for (int32_t first = 0; first < stream->devices; first += FLEET_LANES) {
        lanes_in(stream->start, stream->start_apart, net->parameters, first, stream->devices,
                 g.weights);
        for (int32_t t = 0; t < stream->samples; t++) {
            lanes_in(stream->x + (int64_t)t * net->inputs, stream->x_apart, net->inputs, first,
                     stream->devices, g.sample);
            const lane *y = forward(net, g.weights, g.sample, g.scratch);
            lanes_out(y, apart, net->outputs, first, stream->devices,
                      outputs + (int64_t)t * net->outputs);
        }
    }
    return FLEET_OK;
}
