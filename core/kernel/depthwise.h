/* depthwise.h: one small convolution per channel. Sums run over kernel row, then kernel column. */

#ifndef FLEET_DEPTHWISE_H
#define FLEET_DEPTHWISE_H

#include "conv.h"

/* Output row oy, columns ox .. ox + p of channel c; all see the same taps. */
FLEET_INLINE void depthwise_forward_tile(const struct fleet_layer *l, const lane *w, const lane *x,
                                         lane *y, int32_t oy, int32_t ox, int32_t c,
                                         struct range ky, struct range kx, const int p) {
    const int32_t channels = l->in_c, ahead = l->stride_w * channels;
    lane sum[TILE_POSITIONS];
    UNROLL for (int a = 0; a < p; a++) sum[a] = w[l->kernel_h * l->kernel_w * channels + c];
    for (int32_t r = ky.from; r < ky.to; r++) {
        const int32_t iy = oy * l->stride_h - l->pad_top + r;
        for (int32_t k = kx.from; k < kx.to; k++) {
            const int32_t ix = ox * l->stride_w - l->pad_left + k;
            const lane weight = w[(r * l->kernel_w + k) * channels + c];
            const lane *in = x + (iy * l->in_w + ix) * channels + c;
            UNROLL for (int a = 0; a < p; a++) sum[a] += in[a * ahead] * weight;
        }
    }
    lane *out = y + (oy * l->out_w + ox) * channels + c;
    UNROLL for (int a = 0; a < p; a++) out[a * channels] = sum[a];
}

static void depthwise_forward(const struct fleet_layer *l, const lane *w, const lane *x, lane *y) {
    const struct range whole = {0, l->kernel_w};
    struct range inner = outputs_of_tap(0, l->pad_left, l->stride_w, l->in_w, l->out_w);
    inner.to = outputs_of_tap(l->kernel_w - 1, l->pad_left, l->stride_w, l->in_w, l->out_w).to;
    for (int32_t oy = 0; oy < l->out_h; oy++) {
        const struct range ky =
            taps_of_output(oy, l->pad_top, l->stride_h, l->in_h, l->kernel_h);
        int32_t ox = 0;
        while (ox < l->out_w) {
            if (ox >= inner.from && ox + TILE_POSITIONS <= inner.to) {
                for (int32_t c = 0; c < l->in_c; c++)
                    depthwise_forward_tile(l, w, x, y, oy, ox, c, ky, whole, TILE_POSITIONS);
                ox += TILE_POSITIONS;
            } else {
                const struct range kx =
                    taps_of_output(ox, l->pad_left, l->stride_w, l->in_w, l->kernel_w);
                for (int32_t c = 0; c < l->in_c; c++)
                    depthwise_forward_tile(l, w, x, y, oy, ox, c, ky, kx, 1);
                ox++;
            }
        }
    }
}

/* Deltas of p inputs, a stride apart, in all channels; as in conv_delta_tile. */
FLEET_INLINE void depthwise_delta_tile(const struct fleet_layer *l, const lane *w, lane *dx,
                                       const lane *dy, struct reach ry, struct reach rx,
                                       const int p) {
    const int32_t channels = l->in_c;
    for (int32_t channel = 0; channel < channels; channel++) {
        lane sum[TILE_POSITIONS];
        UNROLL for (int a = 0; a < p; a++) sum[a] = (lane){0};
        for (int32_t r = 0; r < ry.count; r++) {
            for (int32_t c = 0; c < rx.count; c++) {
                const int32_t at = (ry.output - r) * l->out_w + rx.output - c;
                const int32_t tap =
                    (ry.tap + r * l->stride_h) * l->kernel_w + rx.tap + c * l->stride_w;
                const lane weight = w[tap * channels + channel];
                const lane *d = dy + at * channels + channel;
                UNROLL for (int a = 0; a < p; a++) sum[a] += weight * d[a * channels];
            }
        }
        UNROLL for (int a = 0; a < p; a++) dx[a * l->stride_w * channels + channel] = sum[a];
    }
}

static void depthwise_delta(const struct fleet_layer *l, const lane *w, lane *dx, const lane *dy) {
    for (int32_t iy = 0; iy < l->in_h; iy++) {
        const struct reach ry =
            taps_of_input(iy, l->pad_top, l->stride_h, l->kernel_h, l->out_h);
        for (int32_t phase = 0; phase < l->stride_w && phase < l->in_w; phase++) {
            int32_t ix = phase;
            while (ix < l->in_w) {
                const struct reach rx =
                    taps_of_input(ix, l->pad_left, l->stride_w, l->kernel_w, l->out_w);
                lane *in = dx + (iy * l->in_w + ix) * l->in_c;
                if (conv_delta_inside(l, ix, TILE_POSITIONS)) {
                    depthwise_delta_tile(l, w, in, dy, ry, rx, TILE_POSITIONS);
                    ix += TILE_POSITIONS * l->stride_w;
                } else {
                    depthwise_delta_tile(l, w, in, dy, ry, rx, 1);
                    ix += l->stride_w;
                }
            }
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
    lane sum[TILE_CHANNELS];
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

FLEET_INLINE void depthwise_gradient(const struct fleet_layer *l, const struct step *s, lane *w,
                                     const lane *x, const lane *dy, const int mode) {
    for (int32_t r = 0; r < l->kernel_h; r++) {
        for (int32_t k = 0; k < l->kernel_w; k++) {
            int32_t c = 0;
            for (; c + TILE_CHANNELS <= l->in_c; c += TILE_CHANNELS)
                depthwise_gradient_tile(l, s, w, x, dy, r, k, c, TILE_CHANNELS, mode);
            for (; c < l->in_c; c++) depthwise_gradient_tile(l, s, w, x, dy, r, k, c, 1, mode);
        }
    }
    bias_gradient(l, s, w + l->kernel_h * l->kernel_w * l->in_c, dy, mode);
}

#endif
