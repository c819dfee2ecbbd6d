/* fleet_step.c: the only file with the kernel's arithmetic in it. A product must be rounded before it is
 * added: compile with -ffp-contract=off; the pragmas serve tools that leave no say. */

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#define FLEET_LANES 1
#define FLEET_NO_BATCH
#define FLEET_SMALL
#include "fleet_step.h"

#include "kernel/learn.h"

uint32_t fleet_kinds(void) {
#ifdef FLEET_DENSE_ONLY
    return 1u << FLEET_DENSE | 1u << FLEET_RELU | 1u << FLEET_RELU6 | 1u << FLEET_TANH |
           1u << FLEET_SIGMOID;
#else
    return (1u << FLEET_KINDS) - 1;
#endif
}

/* The place of the first of the largest. */
static int32_t largest(const float *values, int32_t count) {
    int32_t best = 0;
    for (int32_t i = 1; i < count; i++)
        if (values[i] > values[best]) best = i;
    return best;
}

static int is_hit(const struct fleet_network *network, const float *y, const float *target) {
    switch (network->loss) {
    case FLEET_SOFTMAX_CROSS_ENTROPY:
        return largest(y, network->outputs) == largest(target, network->outputs);
    case FLEET_SIGMOID_CROSS_ENTROPY: return (y[0] > 0.0f) == (target[0] > 0.5f);
    default: return 0;
    }
}

struct fleet_score fleet_step(const struct fleet_network *network, float rate, float *weights,
                              const float *sample, const float *target, float *scratch) {
    struct fleet_score score;
    const float *y = forward(network, weights, sample, scratch);
    score.hit = is_hit(network, y, target);
    float *delta = scratch + network->layers[network->layer_count - 1].output_delta;
    score.loss = loss_and_delta(network->loss, network->outputs, y, target, delta);
    if (rate > 0.0f) {
        const struct step step = {rate, 0};
        backward(network, &step, MODE_ONLINE, weights, sample, scratch);
    }
    return score;
}
