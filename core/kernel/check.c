/* check.c: what is wrong with a network or with settings, and how much memory they need. */

#include "shape.h"

static int below_most(int64_t count) { return count < FLEET_MOST; }

/* Whether a box has sides of 1 or more and fewer than FLEET_MOST floats. */
static int box(int32_t height, int32_t width, int32_t channels) {
    if (height < 1 || width < 1 || channels < 1) return 0;
    const int64_t area = (int64_t)height * width;
    return below_most(area) && below_most(channels) && below_most(area * channels);
}

/* Whether `count` floats at `place` lie inside the scratch; -1 stands for a place that is not used. */
static int fits(const struct fleet_network *net, int32_t place, int64_t count) {
    return place == -1 || (place >= 0 && place <= net->scratch - count);
}

static int has_window(int32_t kind) {
#ifdef FLEET_DENSE_ONLY
    (void)kind;
    return 0;
#else
    return kind >= FLEET_CONV2D && kind <= FLEET_MAX_POOL;
#endif
}

/* Whether one axis of a window stays where it may: a pool inside the input, a convolution in touch. */
static int slides(int32_t in, int32_t out, int32_t kernel, int32_t stride, int32_t pad, int pool) {
    if (stride < 1 || pad < 0 || pad >= kernel) return 0;
    const int64_t last = (int64_t)(out - 1) * stride - pad;
    return pool ? pad == 0 && last + kernel <= in : last < in;
}

static int window_fits(const struct fleet_layer *l) {
    const int pool = l->kind == FLEET_AVERAGE_POOL || l->kind == FLEET_MAX_POOL;
    return box(l->kernel_h, l->kernel_w, l->in_c) && below_most((int64_t)l->stride_h * l->in_c) &&
           below_most((int64_t)l->stride_w * l->in_c) &&
           slides(l->in_h, l->out_h, l->kernel_h, l->stride_h, l->pad_top, pool) &&
           slides(l->in_w, l->out_w, l->kernel_w, l->stride_w, l->pad_left, pool);
}

static int check_geometry(const struct fleet_layer *l) {
    if (!box(l->in_h, l->in_w, l->in_c) || !box(l->out_h, l->out_w, l->out_c))
        return FLEET_ERROR_SHAPE;
    if (l->kind == FLEET_DENSE)
        return l->in_h == 1 && l->in_w == 1 && l->out_h == 1 && l->out_w == 1 ? FLEET_OK
                                                                              : FLEET_ERROR_SHAPE;
    if (l->kind != FLEET_CONV2D && l->in_c != l->out_c) return FLEET_ERROR_SHAPE;
    if (has_window(l->kind)) return window_fits(l) ? FLEET_OK : FLEET_ERROR_SHAPE;
    return l->in_h == l->out_h && l->in_w == l->out_w ? FLEET_OK : FLEET_ERROR_SHAPE;
}

static int check_layer(const struct fleet_network *net, const struct fleet_layer *l, int32_t i) {
    if (l->kind < 0 || l->kind >= FLEET_KINDS) return FLEET_ERROR_KIND;
    if (check_geometry(l)) return FLEET_ERROR_SHAPE;
    const int64_t inputs = layer_inputs(l), outputs = layer_outputs(l);
    const int64_t parameters = layer_parameters(l);
    if (l->parameters < 0 || parameters > (int64_t)net->parameters - l->parameters)
        return FLEET_ERROR_SHAPE;
    if (l->output < 0 || (l->input == -1) != (i == 0)) return FLEET_ERROR_SHAPE;
    if (inputs != (i == 0 ? net->inputs : layer_outputs(l - 1))) return FLEET_ERROR_SHAPE;
    if (i >= net->first_trainable && l->output_delta < 0) return FLEET_ERROR_SHAPE;
    if (i > net->first_trainable && l->input_delta < 0) return FLEET_ERROR_SHAPE;
    /* where the backward pass ends, only a layer with parameters asks whether to go on below */
    if (i == net->first_trainable && l->input_delta < 0 && !parameters) return FLEET_ERROR_SHAPE;
    if (!fits(net, l->input, inputs) || !fits(net, l->output, outputs) ||
        !fits(net, l->input_delta, inputs) || !fits(net, l->output_delta, outputs))
        return FLEET_ERROR_SHAPE;
    return FLEET_OK;
}

int fleet_check_network(const struct fleet_network *net) {
    if (net->loss < 0 || net->loss >= FLEET_LOSSES) return FLEET_ERROR_LOSS;
    if (net->layer_count < 1 || net->inputs < 1 || net->outputs < 1) return FLEET_ERROR_SHAPE;
    if (net->parameters < 0 || net->scratch < 0) return FLEET_ERROR_SHAPE;
    if (!below_most(net->parameters) || !below_most(net->inputs) || !below_most(net->outputs) ||
        !below_most(net->scratch))
        return FLEET_ERROR_SHAPE;
    if (net->first_trainable < 0 || net->first_trainable > net->layer_count)
        return FLEET_ERROR_SHAPE;
    for (int32_t i = 0; i < net->layer_count; i++) {
        const int error = check_layer(net, net->layers + i, i);
        if (error) return error;
    }
    const struct fleet_layer *last = net->layers + net->layer_count - 1;
    if (layer_outputs(last) != net->outputs || last->output_delta < 0) return FLEET_ERROR_SHAPE;
    return FLEET_OK;
}

static int online(const struct fleet_training *t) {
    return t->batch == 1 && t->optimizer == FLEET_SGD && t->proximal == 0.0f;
}

int fleet_check_training(const struct fleet_training *t) {
    if (!(t->rate > 0.0f) || !(t->proximal >= 0.0f)) return FLEET_ERROR_TRAINING;
    if (t->passes < 1 || t->batch < 1) return FLEET_ERROR_TRAINING;
    if (t->optimizer < 0 || t->optimizer >= FLEET_OPTIMIZERS) return FLEET_ERROR_TRAINING;
#ifdef FLEET_NO_BATCH
    if (!online(t)) return FLEET_ERROR_TRAINING;
#endif
    return FLEET_OK;
}

int64_t fleet_learn_memory(const struct fleet_network *net, const struct fleet_training *t) {
    int64_t vectors = 1;
    if (!online(t))
        vectors += 1 + (t->proximal != 0.0f) + 2 * (t->optimizer == FLEET_ADAM);
    return vectors * net->parameters + net->scratch + net->inputs + net->outputs;
}
