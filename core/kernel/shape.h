/* shape.h: how many floats a layer reads, writes and learns. No product overflows for a layer that
 * fleet_check_network has passed: each is below FLEET_MOST. */

#ifndef FLEET_SHAPE_H
#define FLEET_SHAPE_H

#include "fleet.h"

static inline int64_t layer_inputs(const struct fleet_layer *l) {
    return (int64_t)l->in_h * l->in_w * l->in_c;
}

static inline int64_t layer_outputs(const struct fleet_layer *l) {
    return (int64_t)l->out_h * l->out_w * l->out_c;
}

/* Weights and biases; 0 for a layer that has none. */
static inline int64_t layer_parameters(const struct fleet_layer *l) {
    switch (l->kind) {
    case FLEET_DENSE: return ((int64_t)l->in_c + 1) * l->out_c;
#ifndef FLEET_DENSE_ONLY
    case FLEET_CONV2D: return ((int64_t)l->kernel_h * l->kernel_w * l->in_c + 1) * l->out_c;
    case FLEET_DEPTHWISE_CONV2D: return ((int64_t)l->kernel_h * l->kernel_w + 1) * l->out_c;
#endif
    default: return 0;
    }
}

#endif
