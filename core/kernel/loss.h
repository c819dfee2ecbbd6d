/* loss.h: what a sample costs, and the delta of the outputs, in one pass. */

#ifndef FLEET_LOSS_H
#define FLEET_LOSS_H

#include "functions.h"
#include "fleet.h"

/* mean over outputs of (y - t)^2 */
FLEET_INLINE lane mean_square(int32_t n, const lane *y, const lane *t, lane *d) {
    const float share = 1.0f / (float)n;
    lane sum = (lane){0};
    for (int32_t i = 0; i < n; i++) {
        const lane error = y[i] - t[i];
        sum += error * error;
        d[i] = error * (2.0f * share);
    }
    return sum * share;
}

/* -sum of t log softmax(y), for targets that add up to 1 */
FLEET_INLINE lane softmax_cross_entropy(int32_t n, const lane *y, const lane *t, lane *d) {
    lane most = y[0], sum = (lane){0}, aimed = (lane){0};
    for (int32_t i = 1; i < n; i++) most = lane_larger(most, y[i]);
    for (int32_t i = 0; i < n; i++) {
        const lane shifted = y[i] - most;
        aimed += t[i] * shifted;
        d[i] = lane_exp(shifted);
        sum += d[i];
    }
    for (int32_t i = 0; i < n; i++) d[i] = d[i] / sum - t[i];
    return lane_log(sum) - aimed;
}

/* mean over outputs of -t log s(y) - (1 - t) log(1 - s(y)), s the sigmoid */
FLEET_INLINE lane sigmoid_cross_entropy(int32_t n, const lane *y, const lane *t, lane *d) {
    const float share = 1.0f / (float)n;
    lane sum = (lane){0};
    for (int32_t i = 0; i < n; i++) {
        const lane rest = lane_log(1.0f + lane_exp(-lane_size(y[i])));
        sum += (lane_larger(y[i], (lane){0}) - y[i] * t[i]) + rest;
        d[i] = (lane_sigmoid(y[i]) - t[i]) * share;
    }
    return sum * share;
}

static lane loss_and_delta(int32_t loss, int32_t n, const lane *y, const lane *t, lane *d) {
    switch (loss) {
    case FLEET_MEAN_SQUARE: return mean_square(n, y, t, d);
    case FLEET_SOFTMAX_CROSS_ENTROPY: return softmax_cross_entropy(n, y, t, d);
    default: return sigmoid_cross_entropy(n, y, t, d);
    }
}

#endif
