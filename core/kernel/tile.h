/* tile.h: what the layers share: how many sums stay in registers, and how a gradient is used. */

#ifndef FLEET_TILE_H
#define FLEET_TILE_H

#include "fleet.h"
#include "functions.h"

/* Sums that one loop keeps in registers; they never change the order inside a sum. */
#ifndef TILE_WIDE
#define TILE_WIDE 8
#endif
#ifndef TILE_POSITIONS
#define TILE_POSITIONS 4
#endif
#ifndef TILE_CHANNELS
#define TILE_CHANNELS 4
#endif
#ifndef TILE_NINE
#define TILE_NINE 1 /* channels beside a 3x3 kernel's nine taps */
#endif

#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* What becomes of a gradient: nothing, an immediate step, or a place in the batch's sum. */
enum { MODE_FROZEN, MODE_ONLINE, MODE_BATCH };

struct step {
    float rate;
    int64_t gradient; /* lanes from a parameter to its gradient */
};

FLEET_INLINE void learn_from(const struct step *s, lane *w, lane gradient, const int mode) {
    if (mode == MODE_ONLINE) *w -= s->rate * gradient;
    if (mode == MODE_BATCH) w[s->gradient] += gradient;
}

/* The outputs [from, to) of a window's tap `k` whose input lies inside `size`. */
struct range {
    int32_t from, to;
};

FLEET_INLINE struct range outputs_of_tap(int32_t k, int32_t pad, int32_t stride, int32_t size,
                                         int32_t outputs) {
    int32_t low = pad - k, high = size + pad - k;
    struct range r;
    r.from = low <= 0 ? 0 : (low + stride - 1) / stride;
    r.to = high <= 0 ? 0 : (high + stride - 1) / stride;
    if (r.to > outputs) r.to = outputs;
    if (r.from > r.to) r.from = r.to;
    return r;
}

/* The taps that reach input `i`: tap, tap + stride, ... `count` of them, from output, output - 1, ... */
struct reach {
    int32_t tap, output, count;
};

FLEET_INLINE struct reach taps_of_input(int32_t i, int32_t pad, int32_t stride, int32_t kernel,
                                        int32_t outputs) {
    const int32_t phase = (i + pad) % stride, output = (i + pad) / stride;
    const int32_t skipped = output >= outputs ? output - outputs + 1 : 0;
    const int32_t last = phase < kernel ? (kernel - 1 - phase) / stride : -1;
    struct reach r;
    r.tap = phase + skipped * stride;
    r.output = output - skipped;
    r.count = (last < output ? last : output) + 1 - skipped;
    return r;
}

/* The taps [from, to) of output `o` whose input lies inside `size`. */
FLEET_INLINE struct range taps_of_output(int32_t o, int32_t pad, int32_t stride, int32_t size,
                                         int32_t kernel) {
    int32_t origin = o * stride - pad;
    struct range r;
    r.from = origin < 0 ? -origin : 0;
    r.to = size - origin < kernel ? size - origin : kernel;
    return r;
}

#endif
