/* batch.h: the step of a batch: plain SGD, SGD with FedProx's pull, or Adam. Not for small devices:
 * it needs room for a gradient, for the starting weights or for two moments. */

#ifndef FLEET_BATCH_H
#define FLEET_BATCH_H

#include "learn.h"
#include "shape.h"

/* Where a batch keeps what it needs, behind the weights; each is as long as the vector. */
struct batch_memory {
    lane *gradient, *start, *first, *second;
    float power1, power2; /* beta1^t and beta2^t */
};

static void batch_step(const struct fleet_layer *l, int32_t n, const struct fleet_training *training,
                       const struct batch_memory *m, lane *weights, float share) {
    const int32_t from = l->parameters;
    const float rate = training->rate, pull = training->proximal;
    const float beta1 = training->beta1, beta2 = training->beta2;
    const float rest1 = 1.0f - m->power1, rest2 = 1.0f - m->power2;
    for (int32_t i = from; i < from + n; i++) {
        lane g = m->gradient[i] * share;
        if (pull != 0.0f) g += pull * (weights[i] - m->start[i]);
        if (training->optimizer == FLEET_ADAM) {
            m->first[i] = beta1 * m->first[i] + (1.0f - beta1) * g;
            m->second[i] = beta2 * m->second[i] + (1.0f - beta2) * (g * g);
            const lane root = lane_root(m->second[i] / rest2) + training->epsilon;
            weights[i] -= rate * ((m->first[i] / rest1) / root);
        } else {
            weights[i] -= rate * g;
        }
        m->gradient[i] = (lane){0};
    }
}

static struct batch_memory batch_memory_at(const struct fleet_network *net,
                                           const struct fleet_training *training, lane *memory,
                                           const lane *weights) {
    struct batch_memory m = {memory, 0, 0, 0, 1.0f, 1.0f};
    const int32_t n = net->parameters;
    lane *next = memory + n;
    for (int32_t i = 0; i < n; i++) memory[i] = (lane){0};
    if (training->proximal != 0.0f) {
        m.start = next;
        for (int32_t i = 0; i < n; i++) next[i] = weights[i];
        next += n;
    }
    if (training->optimizer == FLEET_ADAM) {
        m.first = next;
        m.second = next + n;
        for (int32_t i = 0; i < 2 * n; i++) next[i] = (lane){0};
    }
    return m;
}

static void batch_end(const struct fleet_network *net, const struct fleet_training *training,
                      struct batch_memory *m, lane *weights, int32_t samples) {
    m->power1 *= training->beta1;
    m->power2 *= training->beta2;
    for (int32_t i = net->first_trainable; i < net->layer_count; i++) {
        const struct fleet_layer *l = net->layers + i;
        if (l->trainable)
            batch_step(l, (int32_t)layer_parameters(l), training, m, weights,
                       1.0f / (float)samples);
    }
}

#endif
