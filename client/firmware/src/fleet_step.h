/* fleet_step.h: the kernel as the messages see it: score a sample, and learn from it. */

#ifndef FLEET_STEP_H
#define FLEET_STEP_H

#include "kernel/fleet.h"

/* Bit k is set when layers of `enum fleet_kind` k are built in. */
uint32_t fleet_kinds(void);

struct fleet_score {
    float loss;
    int hit; /* right class (softmax) or right side (sigmoid); 0 for the mean square */
};

/* Score one sample. Where `rate` is above 0, learn from it next. */
struct fleet_score fleet_step(const struct fleet_network *network, float rate, float *weights,
                              const float *sample, const float *target, float *scratch);

#endif
