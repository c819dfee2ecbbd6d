/* learn.h: forward through the layers, back through them, and the step that the weights take. */

#ifndef FLEET_LEARN_H
#define FLEET_LEARN_H

#include "activation.h"
#include "dense.h"
#include "loss.h"
#ifndef FLEET_DENSE_ONLY /* the smallest devices do without convolutions and pools */
#include "conv.h"
#include "depthwise.h"
#include "pool.h"
#endif

static void layer_forward(const struct fleet_layer *l, const lane *w, const lane *x, lane *y) {
    switch (l->kind) {
    case FLEET_DENSE: dense_forward(l, w, x, y); break;
#ifndef FLEET_DENSE_ONLY
    case FLEET_CONV2D: conv_forward(l, w, x, y); break;
    case FLEET_DEPTHWISE_CONV2D: depthwise_forward(l, w, x, y); break;
    case FLEET_AVERAGE_POOL: average_pool_forward(l, x, y); break;
    case FLEET_MAX_POOL: max_pool_forward(l, x, y); break;
#endif
    default: activation_forward(l, x, y);
    }
}

/* Return the outputs, which lie in the scratch. */
static const lane *forward(const struct fleet_network *net, const lane *weights, const lane *x,
                           lane *scratch) {
    const lane *y = x;
    for (int32_t i = 0; i < net->layer_count; i++) {
        const struct fleet_layer *l = net->layers + i;
        layer_forward(l, weights + l->parameters, l->input < 0 ? x : scratch + l->input,
                      scratch + l->output);
        y = scratch + l->output;
    }
    return y;
}

/* Deltas first, from the weights as they were; then the weights. A dense layer does both at once. */
FLEET_INLINE void layer_backward(const struct fleet_layer *l, const struct step *s, lane *w,
                                 const lane *x, const lane *y, lane *dx, const lane *dy,
                                 const int mode) {
    switch (l->kind) {
    case FLEET_DENSE:
        dense_backward(l, s, w, x, dx, dy, mode);
        break;
#ifndef FLEET_DENSE_ONLY
    case FLEET_CONV2D:
        if (dx) conv_delta(l, w, dx, dy);
        if (mode != MODE_FROZEN) conv_gradient(l, s, w, x, dy, mode);
        break;
    case FLEET_DEPTHWISE_CONV2D:
        if (dx) depthwise_delta(l, w, dx, dy);
        if (mode != MODE_FROZEN) depthwise_gradient(l, s, w, x, dy, mode);
        break;
    case FLEET_AVERAGE_POOL: average_pool_delta(l, dx, dy); break;
    case FLEET_MAX_POOL: max_pool_delta(l, x, dx, dy); break;
#endif
    default: activation_backward(l, y, dx, dy);
    }
}

#ifdef FLEET_SMALL
/* One function for both uses of the gradient: the inner loops that ask are few. */
static void layer_backward_either(const struct fleet_layer *l, const struct step *s, lane *w,
                                  const lane *x, const lane *y, lane *dx, const lane *dy) {
    layer_backward(l, s, w, x, y, dx, dy, l->trainable ? MODE_ONLINE : MODE_FROZEN);
}
#define layer_backward_frozen layer_backward_either
#define layer_backward_online layer_backward_either
#else
/* One function for each use of the gradient, so that no inner loop asks which it is. */
static void layer_backward_frozen(const struct fleet_layer *l, const struct step *s, lane *w,
                                  const lane *x, const lane *y, lane *dx, const lane *dy) {
    layer_backward(l, s, w, x, y, dx, dy, MODE_FROZEN);
}

static void layer_backward_online(const struct fleet_layer *l, const struct step *s, lane *w,
                                  const lane *x, const lane *y, lane *dx, const lane *dy) {
    layer_backward(l, s, w, x, y, dx, dy, MODE_ONLINE);
}
#endif

#ifndef FLEET_NO_BATCH
static void layer_backward_batch(const struct fleet_layer *l, const struct step *s, lane *w,
                                 const lane *x, const lane *y, lane *dx, const lane *dy) {
    layer_backward(l, s, w, x, y, dx, dy, MODE_BATCH);
}
#endif

/* Go back from the delta of the outputs, and learn (or add to the batch's gradient) on the way. */
FLEET_INLINE void backward(const struct fleet_network *net, const struct step *s, const int mode,
                           lane *weights, const lane *x, lane *scratch) {
    for (int32_t i = net->layer_count - 1; i >= net->first_trainable; i--) {
        const struct fleet_layer *l = net->layers + i;
        lane *w = weights + l->parameters;
        const lane *in = l->input < 0 ? x : scratch + l->input;
        lane *dx = l->input_delta < 0 ? 0 : scratch + l->input_delta;
        const lane *dy = scratch + l->output_delta;
        if (!l->trainable)
            layer_backward_frozen(l, s, w, in, scratch + l->output, dx, dy);
#ifndef FLEET_NO_BATCH
        else if (mode == MODE_BATCH)
            layer_backward_batch(l, s, w, in, scratch + l->output, dx, dy);
#endif
        else
            layer_backward_online(l, s, w, in, scratch + l->output, dx, dy);
    }
    (void)mode;
}

/* Score a sample, then learn from it (or add to the batch's gradient); return its loss. */
static inline lane learn_sample(const struct fleet_network *net, const struct step *s, const int mode,
                                lane *weights, const lane *x, const lane *target,
                                lane *scratch) {
    const lane *y = forward(net, weights, x, scratch);
    const struct fleet_layer *last = net->layers + net->layer_count - 1;
    const lane loss =
        loss_and_delta(net->loss, net->outputs, y, target, scratch + last->output_delta);
    backward(net, s, mode, weights, x, scratch);
    return loss;
}

#endif
