/* depthwise.h: one small convolution per channel. Sums run over kernel row, then kernel column. */

#ifndef FLEET_DEPTHWISE_H
#define FLEET_DEPTHWISE_H

#include "conv.h"

/* Output (oy, ox), channels c .. c + n, from the taps ky x kx. */
FLEET_INLINE void depthwise_forward_tile(const struct fleet_layer *l, const lane *w, const lane *x,
                                         lane *y, int32_t oy, int32_t ox, int32_t c,
                                         struct range ky, struct range kx, const int n) {
    const int32_t channels = l->in_c;
    const int32_t iy = oy * l->stride_h - l->pad_top, ix = ox * l->stride_w - l->pad_left;
    const lane *bias = w + l->kernel_h * l->kernel_w * channels + c;
    lane sum[TILE_WIDE];
    UNROLL for (int j = 0; j < n; j++) sum[j] = bias[j];
    for (int32_t r = ky.from; r < ky.to; r++) {
        const lane *in = x + ((iy + r) * l->in_w + ix + kx.from) * channels + c;
        const lane *weight = w + (r * l->kernel_w + kx.from) * channels + c;
        for (int32_t k = kx.from; k < kx.to; k++, in += channels, weight += channels)
            UNROLL for (int j = 0; j < n; j++) sum[j] += in[j] * weight[j];
    }
    lane *out = y + (oy * l->out_w + ox) * channels + c;
    UNROLL for (int j = 0; j < n; j++) out[j] = sum[j];
}

static void depthwise_forward_any(const struct fleet_layer *l, const lane *w, const lane *x,
                                  lane *y) {
    for (int32_t oy = 0; oy < l->out_h; oy++) {
        const struct range ky =
            taps_of_output(oy, l->pad_top, l->stride_h, l->in_h, l->kernel_h);
        for (int32_t ox = 0; ox < l->out_w; ox++) {
            const struct range kx =
                taps_of_output(ox, l->pad_left, l->stride_w, l->in_w, l->kernel_w);
            int32_t c = 0;
            for (; c + TILE_WIDE <= l->in_c; c += TILE_WIDE)
                depthwise_forward_tile(l, w, x, y, oy, ox, c, ky, kx, TILE_WIDE);
            for (; c < l->in_c; c++) depthwise_forward_tile(l, w, x, y, oy, ox, c, ky, kx, 1);
        }
    }
}

/* A 3x3 kernel's weights of channels c .. c + n stay in registers while all positions pass. */
FLEET_INLINE void depthwise_forward_nine(const struct fleet_layer *l, const lane *w, const lane *x,
                                         lane *y, int32_t c, const int n) {
    const int32_t channels = l->in_c;
    lane weight[9][TILE_NINE], bias[TILE_NINE];
    UNROLL for (int t = 0; t < 9; t++)
        UNROLL for (int j = 0; j < n; j++) weight[t][j] = w[t * channels + c + j];
    UNROLL for (int j = 0; j < n; j++) bias[j] = w[9 * channels + c + j];
    for (int32_t oy = 0; oy < l->out_h; oy++) {
        const int32_t iy = oy * l->stride_h - l->pad_top;
        for (int32_t ox = 0; ox < l->out_w; ox++) {
            const int32_t ix = ox * l->stride_w - l->pad_left;
            const lane *in = x + (iy * l->in_w + ix) * channels + c;
            lane sum[TILE_NINE];
            UNROLL for (int j = 0; j < n; j++) sum[j] = bias[j];
            UNROLL for (int r = 0; r < 3; r++) {
                if (iy + r < 0 || iy + r >= l->in_h) continue;
                UNROLL for (int k = 0; k < 3; k++) {
                    if (ix + k < 0 || ix + k >= l->in_w) continue;
                    UNROLL for (int j = 0; j < n; j++)
                        sum[j] += in[(r * l->in_w + k) * channels + j] * weight[r * 3 + k][j];
                }
            }
            lane *out = y + (oy * l->out_w + ox) * channels + c;
            UNROLL for (int j = 0; j < n; j++) out[j] = sum[j];
        }
    }
}

static void depthwise_forward(const struct fleet_layer *l, const lane *w, const lane *x, lane *y) {
    if (l->kernel_h != 3 || l->kernel_w != 3) {
        depthwise_forward_any(l, w, x, y);
        return;
    }
    int32_t c = 0;
    for (; c + TILE_NINE <= l->in_c; c += TILE_NINE)
        depthwise_forward_nine(l, w, x, y, c, TILE_NINE);
    for (; c < l->in_c; c++) depthwise_forward_nine(l, w, x, y, c, 1);
}

/* Deltas of channels c .. c + n of the input at `dx`, which the taps ry x rx reach. */
FLEET_INLINE void depthwise_delta_tile(const struct fleet_layer *l, const lane *w, lane *dx,
                                       const lane *dy, int32_t c, struct reach ry, struct reach rx,
                                       const int n) {
    const int32_t channels = l->in_c;
    lane sum[TILE_WIDE];
    UNROLL for (int j = 0; j < n; j++) sum[j] = (lane){0};
    for (int32_t r = 0; r < ry.count; r++) {
        const lane *d = dy + ((ry.output - r) * l->out_w + rx.output) * channels + c;
        const lane *weight =
            w + ((ry.tap + r * l->stride_h) * l->kernel_w + rx.tap) * channels + c;
        for (int32_t k = 0; k < rx.count; k++) {
            UNROLL for (int j = 0; j < n; j++) sum[j] += weight[j] * d[j];
            d -= channels;
            weight += l->stride_w * channels;
        }
    }
    UNROLL for (int j = 0; j < n; j++) dx[c + j] = sum[j];
}

static void depthwise_delta(const struct fleet_layer *l, const lane *w, lane *dx, const lane *dy) {
    for (int32_t iy = 0; iy < l->in_h; iy++) {
        const struct reach ry =
            taps_of_input(iy, l->pad_top, l->stride_h, l->kernel_h, l->out_h);
        for (int32_t ix = 0; ix < l->in_w; ix++) {
            const struct reach rx =
                taps_of_input(ix, l->pad_left, l->stride_w, l->kernel_w, l->out_w);
            lane *in = dx + (iy * l->in_w + ix) * l->in_c;
            int32_t c = 0;
            for (; c + TILE_WIDE <= l->in_c; c += TILE_WIDE)
                depthwise_delta_tile(l, w, in, dy, c, ry, rx, TILE_WIDE);
            for (; c < l->in_c; c++) depthwise_delta_tile(l, w, in, dy, c, ry, rx, 1);
        }
    }
}

/* Gradients of one tap for channels c .. c + n: sums over output row and column. */
FLEET_INLINE void depthwise_gradient_tile(const struct fleet_layer *l, const struct step *s, lane *w,
                                          const lane *x, const lane *dy, int32_t r, int32_t k,
                                          int32_t c, const int n, const int mode) {
    const int32_t channels = l->in_c;
    const struct range rows = outputs_of_tap(r, l->pad_top, l->stride_h, l->in_h, l->out_h);
    const struct range columns = outputs_of_tap(k, l->pad_left, l->stride_w, l->in_w, l->out_w);
    lane sum[TILE_WIDE];
    UNROLL for (int j = 0; j < n; j++) sum[j] = (lane){0};
    for (int32_t oy = rows.from; oy < rows.to; oy++) {
        const int32_t iy = oy * l->stride_h - l->pad_top + r;
        const int32_t ix = columns.from * l->stride_w - l->pad_left + k;
        const lane *in = x + (iy * l->in_w + ix) * channels + c;
        const lane *d = dy + (oy * l->out_w + columns.from) * channels + c;
        for (int32_t ox = columns.from; ox < columns.to; ox++) {
            UNROLL for (int j = 0; j < n; j++) sum[j] += in[j] * d[j];
            in += l->stride_w * channels;
            d += channels;
        }
    }
    lane *weight = w + (r * l->kernel_w + k) * channels + c;
    UNROLL for (int j = 0; j < n; j++) learn_from(s, weight + j, sum[j], mode);
}

/* Gradients of a 3x3 kernel's channels c .. c + n: one walk over the deltas serves all nine taps. */
FLEET_INLINE void depthwise_gradient_nine(const struct fleet_layer *l, const struct step *s, lane *w,
                                          const lane *x, const lane *dy, int32_t c, const int n,
                                          const int mode) {
    const int32_t channels = l->in_c;
    lane sum[9][TILE_NINE];
    UNROLL for (int t = 0; t < 9; t++) UNROLL for (int j = 0; j < n; j++) sum[t][j] = (lane){0};
    for (int32_t oy = 0; oy < l->out_h; oy++) {
        const int32_t iy = oy * l->stride_h - l->pad_top;
        for (int32_t ox = 0; ox < l->out_w; ox++) {
            const int32_t ix = ox * l->stride_w - l->pad_left;
            const lane *in = x + (iy * l->in_w + ix) * channels + c;
            const lane *d = dy + (oy * l->out_w + ox) * channels + c;
            UNROLL for (int r = 0; r < 3; r++) {
                if (iy + r < 0 || iy + r >= l->in_h) continue;
                UNROLL for (int k = 0; k < 3; k++) {
                    if (ix + k < 0 || ix + k >= l->in_w) continue;
                    UNROLL for (int j = 0; j < n; j++)
                        sum[r * 3 + k][j] += in[(r * l->in_w + k) * channels + j] * d[j];
                }
            }
        }
    }
    UNROLL for (int t = 0; t < 9; t++)
        UNROLL for (int j = 0; j < n; j++)
            learn_from(s, w + t * channels + c + j, sum[t][j], mode);
}

FLEET_INLINE void depthwise_gradient_any(const struct fleet_layer *l, const struct step *s, lane *w,
                                         const lane *x, const lane *dy, const int mode) {
    for (int32_t r = 0; r < l->kernel_h; r++) {
        for (int32_t k = 0; k < l->kernel_w; k++) {
            int32_t c = 0;
            for (; c + TILE_WIDE <= l->in_c; c += TILE_WIDE)
                depthwise_gradient_tile(l, s, w, x, dy, r, k, c, TILE_WIDE, mode);
            for (; c < l->in_c; c++) depthwise_gradient_tile(l, s, w, x, dy, r, k, c, 1, mode);
        }
    }
}

FLEET_INLINE void depthwise_gradient(const struct fleet_layer *l, const struct step *s, lane *w,
                                     const lane *x, const lane *dy, const int mode) {
    if (l->kernel_h == 3 && l->kernel_w == 3) {
        int32_t c = 0;
        for (; c + TILE_NINE <= l->in_c; c += TILE_NINE)
            depthwise_gradient_nine(l, s, w, x, dy, c, TILE_NINE, mode);
        for (; c < l->in_c; c++) depthwise_gradient_nine(l, s, w, x, dy, c, 1, mode);
    } else {
        depthwise_gradient_any(l, s, w, x, dy, mode);
    }
    bias_gradient(l, s, w + l->kernel_h * l->kernel_w * l->in_c, dy, mode);
}

#endif
