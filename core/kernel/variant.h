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

#if FLEET_LANES > 1
typedef float quad __attribute__((vector_size(16)));

#if defined(__clang__) || __GNUC__ >= 12
#define MIX(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
typedef int32_t quad_places __attribute__((vector_size(16)));
#define MIX(a, b, i, j, k, l) __builtin_shuffle(a, b, (quad_places){i, j, k, l})
#endif

/* Turn four rows of four floats: to[j * to_apart + i] = rows[i][j]. */
FLEET_INLINE void turn(const float *const rows[4], float *to, int64_t to_apart) {
    quad r[4];
    for (int i = 0; i < 4; i++) __builtin_memcpy(&r[i], rows[i], sizeof r[i]);
    const quad low01 = MIX(r[0], r[1], 0, 4, 1, 5), high01 = MIX(r[0], r[1], 2, 6, 3, 7);
    const quad low23 = MIX(r[2], r[3], 0, 4, 1, 5), high23 = MIX(r[2], r[3], 2, 6, 3, 7);
    const quad columns[4] = {MIX(low01, low23, 0, 1, 4, 5), MIX(low01, low23, 2, 3, 6, 7),
                             MIX(high01, high23, 0, 1, 4, 5), MIX(high01, high23, 2, 3, 6, 7)};
    for (int j = 0; j < 4; j++) __builtin_memcpy(to + j * to_apart, &columns[j], sizeof columns[j]);
}
#endif

/* Bring `count` floats of each device together; a device's floats lie `apart` floats apart. */
static void lanes_in(const float *from, int64_t apart, int32_t count, int32_t first,
                     int32_t devices, lane *to) {
    int32_t i = 0;
    if (!apart) {
        for (; i < count; i++) to[i] = lane_of(from[i]);
        return;
    }
    const float *rows[FLEET_LANES];
    float *flat = (float *)to;
    for (int32_t k = 0; k < FLEET_LANES; k++) rows[k] = from + apart * device_of(k, first, devices);
#if FLEET_LANES > 1
    for (; i + 4 <= count; i += 4)
        for (int32_t k = 0; k < FLEET_LANES; k += 4) {
            const float *four[4] = {rows[k] + i, rows[k + 1] + i, rows[k + 2] + i, rows[k + 3] + i};
            turn(four, flat + i * FLEET_LANES + k, FLEET_LANES);
        }
#endif
    for (; i < count; i++)
        for (int32_t k = 0; k < FLEET_LANES; k++) flat[i * FLEET_LANES + k] = rows[k][i];
}

static void lanes_out(const lane *from, int64_t apart, int32_t count, int32_t first,
                      int32_t devices, float *to) {
    const float *flat = (const float *)from;
    const int32_t rows = devices - first < FLEET_LANES ? devices - first : FLEET_LANES;
    int32_t i = 0;
    to += apart * first;
#if FLEET_LANES > 1
    for (; i + 4 <= count && rows == FLEET_LANES; i += 4)
        for (int32_t k = 0; k < FLEET_LANES; k += 4) {
            const float *corner = flat + i * FLEET_LANES + k;
            const float *four[4] = {corner, corner + FLEET_LANES, corner + 2 * FLEET_LANES,
                                    corner + 3 * FLEET_LANES};
            turn(four, to + apart * k + i, apart);
        }
#endif
    for (; i < count; i++)
        for (int32_t k = 0; k < rows; k++) to[apart * k + i] = flat[i * FLEET_LANES + k];
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
    return loss * (1.0f / (float)((int64_t)n * training->passes));
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
