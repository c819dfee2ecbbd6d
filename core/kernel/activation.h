/* activation.h: ReLU, ReLU6, tanh and sigmoid, each with its derivative from its own output. */

#ifndef FLEET_ACTIVATION_H
#define FLEET_ACTIVATION_H

#include "shape.h"
#include "tile.h"

#ifdef FLEET_M4
#include "relu_m4.h"
#endif

FLEET_INLINE lane activate(int32_t kind, lane x) {
    const lane zero = (lane){0};
    switch (kind) {
    case FLEET_RELU: return lane_select(LANE_LESS(zero, x), x, zero);
    case FLEET_RELU6: return lane_smaller(lane_select(LANE_LESS(zero, x), x, zero), lane_of(6.0f));
    case FLEET_TANH: return lane_tanh(x);
    default: return lane_sigmoid(x);
    }
}

FLEET_INLINE lane activation_delta(int32_t kind, lane y, lane d) {
    const lane zero = (lane){0};
    switch (kind) {
    case FLEET_RELU: return lane_select(LANE_LESS(zero, y), d, zero);
    case FLEET_RELU6:
        return lane_select(LANE_LESS(zero, y) & LANE_LESS(y, lane_of(6.0f)), d, zero);
    case FLEET_TANH: return d * (1.0f - y * y);
    default: return d * (y * (1.0f - y));
    }
}

static void activation_forward(const struct fleet_layer *l, const lane *x, lane *y) {
    const int32_t n = (int32_t)layer_outputs(l), kind = l->kind;
#ifdef FLEET_M4
    if (kind == FLEET_RELU) {
        m4_relu(n, x, y);
        return;
    }
#endif
    for (int32_t i = 0; i < n; i++) y[i] = activate(kind, x[i]);
}

static void activation_backward(const struct fleet_layer *l, const lane *y, lane *dx,
                                const lane *dy) {
    const int32_t n = (int32_t)layer_outputs(l), kind = l->kind;
#ifdef FLEET_M4
    if (kind == FLEET_RELU) {
        m4_relu_deltas(n, y, dx, dy);
        return;
    }
#endif
    for (int32_t i = 0; i < n; i++) dx[i] = activation_delta(kind, y[i], dy[i]);
}

#endif
