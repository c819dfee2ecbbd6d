/* fleet.h: a network as a device sees it, and the calls that train it one sample at a time.
 *
 * C99, freestanding: no libc, no libm, no heap, no globals. The caller owns every buffer, and beside
 * each buffer stands a function that says its size. Results are 0 or positive, errors negative.
 * Compile with -ffp-contract=off: then every build computes the same bits. */

#ifndef FLEET_H
#define FLEET_H

#include <stdint.h>

/* Every count of floats stays below this: sixteen lanes of it are as many as an int32 counts. */
#define FLEET_MOST ((int64_t)1 << 27)

enum fleet_kind {
    FLEET_DENSE = 0,            /* weights [in_c][out_c], then biases [out_c] */
    FLEET_CONV2D = 1,           /* weights [kernel_h][kernel_w][in_c][out_c], then biases */
    FLEET_DEPTHWISE_CONV2D = 2, /* weights [kernel_h][kernel_w][in_c], then biases */
    FLEET_AVERAGE_POOL = 3,
    FLEET_MAX_POOL = 4,
    FLEET_RELU = 5,
    FLEET_RELU6 = 6,
    FLEET_TANH = 7,
    FLEET_SIGMOID = 8,
    FLEET_KINDS = 9,
};

enum fleet_loss {
    FLEET_MEAN_SQUARE = 0,
    FLEET_SOFTMAX_CROSS_ENTROPY = 1,
    FLEET_SIGMOID_CROSS_ENTROPY = 2,
    FLEET_LOSSES = 3,
};

enum fleet_optimizer {
    FLEET_SGD = 0,
    FLEET_ADAM = 1,
    FLEET_OPTIMIZERS = 2,
};

enum fleet_error {
    FLEET_OK = 0,
    FLEET_ERROR_KIND = -1,     /* a layer of unknown kind */
    FLEET_ERROR_LOSS = -2,     /* an unknown loss */
    FLEET_ERROR_SHAPE = -3,    /* layers, parameters or scratch places that do not fit together */
    FLEET_ERROR_TRAINING = -4, /* settings out of range, or a mode this build leaves out */
    FLEET_ERROR_VARIANT = -5,  /* a variant that this processor cannot run */
};

/* One layer. Tensors are [height][width][channel]; a dense layer has height and width 1.
 * Places count floats from the start of the scratch; -1 as input is the sample itself, -1 as
 * input_delta says that nothing below learns, which a layer without parameters cannot have where
 * the backward pass ends. An activation may share its places. */
struct fleet_layer {
    int32_t kind;
    int32_t trainable;
    int32_t in_h, in_w, in_c;
    int32_t out_h, out_w, out_c;
    int32_t kernel_h, kernel_w;
    int32_t stride_h, stride_w;
    int32_t pad_top, pad_left;
    int32_t parameters; /* place of the first parameter in the vector */
    int32_t input, output;
    int32_t input_delta, output_delta;
};

struct fleet_network {
    const struct fleet_layer *layers;
    int32_t layer_count;
    int32_t first_trainable; /* layer_count when nothing learns */
    int32_t loss;
    int32_t parameters; /* floats of the vector */
    int32_t inputs;     /* floats of a sample */
    int32_t outputs;    /* floats of a target */
    int32_t scratch;    /* floats of scratch */
};

struct fleet_training {
    float rate;
    int32_t passes;
    int32_t batch; /* samples a step; 1 with SGD and no pull is online and needs no gradient */
    int32_t optimizer;
    float proximal;       /* pull towards the starting weights */
    float beta1, beta2;   /* Adam */
    float epsilon;        /* Adam */
};

/* Return 0, or the first thing wrong with `network`. */
int fleet_check_network(const struct fleet_network *network);

/* Return 0, or FLEET_ERROR_TRAINING. */
int fleet_check_training(const struct fleet_training *training);

/* Floats of memory, per device, that `fleet_*_learn` needs: weights, scratch, and what a batch adds. */
int64_t fleet_learn_memory(const struct fleet_network *network,
                           const struct fleet_training *training);

#endif
