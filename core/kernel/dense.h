/* dense.h: y[o] = b[o] + sum over i of x[i] w[i][o], and its backward pass fused with the update. */

#ifndef FLEET_DENSE_H
#define FLEET_DENSE_H

#include "tile.h"

#ifdef FLEET_M4
#include "dense_m4.h"
#else

FLEET_INLINE void dense_forward_tile(const struct fleet_layer *l, const lane *w, const lane *x,
                                     lane *y, int32_t o, const int n) {
    const int32_t inputs = l->in_c, outputs = l->out_c;
    lane sum[TILE_WIDE];
    UNROLL for (int j = 0; j < n; j++) sum[j] = w[inputs * outputs + o + j];
    for (int32_t i = 0; i < inputs; i++) {
        const lane *row = w + i * outputs + o;
        const lane value = x[i];
        UNROLL for (int j = 0; j < n; j++) sum[j] += value * row[j];
    }
    UNROLL for (int j = 0; j < n; j++) y[o + j] = sum[j];
}

static void dense_forward(const struct fleet_layer *l, const lane *w, const lane *x, lane *y) {
    int32_t o = 0;
    for (; o + TILE_WIDE <= l->out_c; o += TILE_WIDE) dense_forward_tile(l, w, x, y, o, TILE_WIDE);
    for (; o + 4 <= l->out_c; o += 4) dense_forward_tile(l, w, x, y, o, 4);
    for (; o < l->out_c; o++) dense_forward_tile(l, w, x, y, o, 1);
}

/* Go back through `n` outputs from `o`: dx[i] takes their part, in ascending order, from the weights
 * as they were; then the weights learn. */
FLEET_INLINE void dense_backward_tile(const struct fleet_layer *l, const struct step *s, lane *w,
                                      const lane *x, lane *dx, const lane *dy, int32_t o,
                                      const int n, const int mode) {
    const int32_t inputs = l->in_c, outputs = l->out_c;
    lane d[TILE_WIDE], move[TILE_WIDE];
    UNROLL for (int j = 0; j < n; j++) {
        d[j] = dy[o + j];
        move[j] = mode == MODE_ONLINE ? s->rate * d[j] : d[j];
    }
    for (int32_t i = 0; i < inputs; i++) {
        lane *row = w + i * outputs + o;
        const lane value = x[i];
        if (dx) {
            lane sum = o ? dx[i] : (lane){0};
            UNROLL for (int j = 0; j < n; j++) sum += row[j] * d[j];
            dx[i] = sum;
        }
        if (mode == MODE_ONLINE) {
            UNROLL for (int j = 0; j < n; j++) row[j] -= value * move[j];
        } else if (mode == MODE_BATCH) {
            lane *g = row + s->gradient;
            UNROLL for (int j = 0; j < n; j++) g[j] += value * move[j];
        }
    }
    UNROLL for (int j = 0; j < n; j++) {
        lane *b = w + inputs * outputs + o + j;
        if (mode == MODE_ONLINE) *b -= move[j];
        if (mode == MODE_BATCH) b[s->gradient] += move[j];
    }
}

FLEET_INLINE void dense_backward(const struct fleet_layer *l, const struct step *s, lane *w,
                                 const lane *x, lane *dx, const lane *dy, const int mode) {
    int32_t o = 0;
    for (; o + TILE_WIDE <= l->out_c; o += TILE_WIDE)
        dense_backward_tile(l, s, w, x, dx, dy, o, TILE_WIDE, mode);
    for (; o + 4 <= l->out_c; o += 4) dense_backward_tile(l, s, w, x, dx, dy, o, 4, mode);
    for (; o < l->out_c; o++) dense_backward_tile(l, s, w, x, dx, dy, o, 1, mode);
}

#endif

#endif
