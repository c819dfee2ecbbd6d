/* pool.h: average and maximum over windows that lie wholly inside the input. */

#ifndef FLEET_POOL_H
#define FLEET_POOL_H

#include "shape.h"
#include "tile.h"

FLEET_INLINE const lane *window(const struct fleet_layer *l, const lane *x, int32_t oy, int32_t ox) {
    return x + (oy * l->stride_h * l->in_w + ox * l->stride_w) * l->in_c;
}

static void average_pool_forward(const struct fleet_layer *l, const lane *x, lane *y) {
    const float share = 1.0f / (float)(l->kernel_h * l->kernel_w);
    for (int32_t oy = 0; oy < l->out_h; oy++) {
        for (int32_t ox = 0; ox < l->out_w; ox++) {
            const lane *in = window(l, x, oy, ox);
            for (int32_t c = 0; c < l->in_c; c++, y++) {
                lane sum = (lane){0};
                for (int32_t r = 0; r < l->kernel_h; r++)
                    for (int32_t k = 0; k < l->kernel_w; k++)
                        sum += in[(r * l->in_w + k) * l->in_c + c];
                *y = sum * share;
            }
        }
    }
}

static void average_pool_delta(const struct fleet_layer *l, lane *dx, const lane *dy) {
    const float share = 1.0f / (float)(l->kernel_h * l->kernel_w);
    const int32_t inputs = (int32_t)layer_inputs(l);
    for (int32_t i = 0; i < inputs; i++) dx[i] = (lane){0};
    for (int32_t oy = 0; oy < l->out_h; oy++) {
        for (int32_t ox = 0; ox < l->out_w; ox++) {
            lane *in = dx + (oy * l->stride_h * l->in_w + ox * l->stride_w) * l->in_c;
            for (int32_t c = 0; c < l->in_c; c++, dy++) {
                const lane part = *dy * share;
                for (int32_t r = 0; r < l->kernel_h; r++)
                    for (int32_t k = 0; k < l->kernel_w; k++)
                        in[(r * l->in_w + k) * l->in_c + c] += part;
            }
        }
    }
}

FLEET_INLINE lane window_maximum(const struct fleet_layer *l, const lane *in) {
    lane most = *in;
    for (int32_t r = 0; r < l->kernel_h; r++)
        for (int32_t k = 0; k < l->kernel_w; k++)
            most = lane_larger(most, in[(r * l->in_w + k) * l->in_c]);
    return most;
}

static void max_pool_forward(const struct fleet_layer *l, const lane *x, lane *y) {
    for (int32_t oy = 0; oy < l->out_h; oy++)
        for (int32_t ox = 0; ox < l->out_w; ox++)
            for (int32_t c = 0; c < l->in_c; c++, y++)
                *y = window_maximum(l, window(l, x, oy, ox) + c);
}

/* The first of the largest inputs takes the delta. */
static void max_pool_delta(const struct fleet_layer *l, const lane *x, lane *dx, const lane *dy) {
    const int32_t inputs = (int32_t)layer_inputs(l);
    for (int32_t i = 0; i < inputs; i++) dx[i] = (lane){0};
    for (int32_t oy = 0; oy < l->out_h; oy++) {
        for (int32_t ox = 0; ox < l->out_w; ox++) {
            for (int32_t c = 0; c < l->in_c; c++, dy++) {
                const lane *in = window(l, x, oy, ox) + c;
                lane *delta = dx + (in - x);
                const lane most = window_maximum(l, in);
                lane_bits open = LANE_EQUAL(most, most);
                for (int32_t r = 0; r < l->kernel_h; r++) {
                    for (int32_t k = 0; k < l->kernel_w; k++) {
                        const int32_t at = (r * l->in_w + k) * l->in_c;
                        const lane_bits hit = LANE_EQUAL(in[at], most) & open;
                        delta[at] += lane_select(hit, *dy, (lane){0});
                        open &= ~hit;
                    }
                }
            }
        }
    }
}

#endif
