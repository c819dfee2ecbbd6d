/* conv.h: 2-D convolution. Sums run over kernel row, kernel column, channel, in that order; taps that
 * fall outside the input are skipped, never multiplied by zero. */

#ifndef FLEET_CONV_H
#define FLEET_CONV_H

#include "tile.h"

/* Outputs (oy, ox .. ox + p) x (o .. o + n); all of them see the taps [ky.from, ky.to) x [kx.from, kx.to). */
FLEET_INLINE void conv_forward_tile(const struct fleet_layer *l, const lane *w, const lane *x,
                                    lane *y, int32_t oy, int32_t ox, int32_t o, struct range ky,
                                    struct range kx, const int p, const int n) {
    const int32_t channels = l->in_c, outputs = l->out_c, ahead = l->stride_w * channels;
    const lane *bias = w + l->kernel_h * l->kernel_w * channels * outputs + o;
    lane sum[TILE_POSITIONS][TILE_WIDE];
    UNROLL for (int a = 0; a < p; a++) UNROLL for (int j = 0; j < n; j++) sum[a][j] = bias[j];
    for (int32_t r = ky.from; r < ky.to; r++) {
        const int32_t iy = oy * l->stride_h - l->pad_top + r;
        for (int32_t c = kx.from; c < kx.to; c++) {
            const int32_t ix = ox * l->stride_w - l->pad_left + c;
            const lane *in = x + (iy * l->in_w + ix) * channels;
            const lane *row = w + (r * l->kernel_w + c) * channels * outputs + o;
            for (int32_t i = 0; i < channels; i++, row += outputs) {
                UNROLL for (int a = 0; a < p; a++) {
                    const lane value = in[a * ahead + i];
                    UNROLL for (int j = 0; j < n; j++) sum[a][j] += value * row[j];
                }
            }
        }
    }
    lane *out = y + (oy * l->out_w + ox) * outputs + o;
    UNROLL for (int a = 0; a < p; a++)
        UNROLL for (int j = 0; j < n; j++) out[a * outputs + j] = sum[a][j];
}

FLEET_INLINE void conv_forward_channels(const struct fleet_layer *l, const lane *w, const lane *x,
                                        lane *y, int32_t oy, int32_t ox, struct range ky,
                                        struct range kx, const int p) {
    int32_t o = 0;
    for (; o + TILE_CHANNELS <= l->out_c; o += TILE_CHANNELS)
        conv_forward_tile(l, w, x, y, oy, ox, o, ky, kx, p, TILE_CHANNELS);
    for (; o < l->out_c; o++) conv_forward_tile(l, w, x, y, oy, ox, o, ky, kx, p, 1);
}

static void conv_forward(const struct fleet_layer *l, const lane *w, const lane *x, lane *y) {
    const struct range whole = {0, l->kernel_w};
    struct range inner = outputs_of_tap(0, l->pad_left, l->stride_w, l->in_w, l->out_w);
    inner.to = outputs_of_tap(l->kernel_w - 1, l->pad_left, l->stride_w, l->in_w, l->out_w).to;
    for (int32_t oy = 0; oy < l->out_h; oy++) {
        const struct range ky =
            taps_of_output(oy, l->pad_top, l->stride_h, l->in_h, l->kernel_h);
        int32_t ox = 0;
        while (ox < l->out_w) {
            if (ox >= inner.from && ox + TILE_POSITIONS <= inner.to) {
                conv_forward_channels(l, w, x, y, oy, ox, ky, whole, TILE_POSITIONS);
                ox += TILE_POSITIONS;
            } else {
                const struct range kx =
                    taps_of_output(ox, l->pad_left, l->stride_w, l->in_w, l->kernel_w);
                conv_forward_channels(l, w, x, y, oy, ox, ky, kx, 1);
                ox++;
            }
        }
    }
}

/* Deltas of inputs (iy, ix, ix + stride ..; p of them) x (i .. i + n), from the weights as they are;
 * all of them are reached by the taps `ry` x `rx`, from outputs one apart. */
FLEET_INLINE void conv_delta_tile(const struct fleet_layer *l, const lane *w, lane *dx,
                                  const lane *dy, int32_t i, struct reach ry, struct reach rx,
                                  const int p, const int n) {
    const int32_t channels = l->in_c, outputs = l->out_c;
    lane sum[TILE_POSITIONS][TILE_CHANNELS];
    UNROLL for (int a = 0; a < p; a++) UNROLL for (int b = 0; b < n; b++) sum[a][b] = (lane){0};
    for (int32_t r = 0; r < ry.count; r++) {
        for (int32_t c = 0; c < rx.count; c++) {
            const int32_t at = (ry.output - r) * l->out_w + rx.output - c;
            const int32_t tap =
                (ry.tap + r * l->stride_h) * l->kernel_w + rx.tap + c * l->stride_w;
            const lane *d = dy + at * outputs;
            const lane *row = w + (tap * channels + i) * outputs;
            for (int32_t o = 0; o < outputs; o++) {
                lane weight[TILE_CHANNELS];
                UNROLL for (int b = 0; b < n; b++) weight[b] = row[b * outputs + o];
                UNROLL for (int a = 0; a < p; a++) {
                    const lane value = d[a * outputs + o];
                    UNROLL for (int b = 0; b < n; b++) sum[a][b] += weight[b] * value;
                }
            }
        }
    }
    UNROLL for (int a = 0; a < p; a++)
        UNROLL for (int b = 0; b < n; b++) dx[a * l->stride_w * channels + i + b] = sum[a][b];
}

FLEET_INLINE void conv_delta_channels(const struct fleet_layer *l, const lane *w, lane *dx,
                                      const lane *dy, struct reach ry, struct reach rx,
                                      const int p) {
    int32_t i = 0;
    for (; i + TILE_CHANNELS <= l->in_c; i += TILE_CHANNELS)
        conv_delta_tile(l, w, dx, dy, i, ry, rx, p, TILE_CHANNELS);
    for (; i < l->in_c; i++) conv_delta_tile(l, w, dx, dy, i, ry, rx, p, 1);
}

/* Whether `p` inputs from ix, a stride apart, all see the same taps. */
FLEET_INLINE int conv_delta_inside(const struct fleet_layer *l, int32_t ix, const int p) {
    const int32_t first = ix + l->pad_left - (l->kernel_w - 1);
    const int32_t last = ix + l->pad_left + (p - 1) * l->stride_w;
    return first >= 0 && last / l->stride_w < l->out_w &&
           ix + (p - 1) * l->stride_w < l->in_w;
}

static void conv_delta(const struct fleet_layer *l, const lane *w, lane *dx, const lane *dy) {
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
                    conv_delta_channels(l, w, in, dy, ry, rx, TILE_POSITIONS);
                    ix += TILE_POSITIONS * l->stride_w;
                } else {
                    conv_delta_channels(l, w, in, dy, ry, rx, 1);
                    ix += l->stride_w;
                }
            }
        }
    }
}

/* Gradients of the weights (tap, i .. i + m, o .. o + n): sums over output row and column. */
FLEET_INLINE void conv_gradient_tile(const struct fleet_layer *l, const struct step *s, lane *w,
                                     const lane *x, const lane *dy, int32_t r, int32_t c, int32_t i,
                                     int32_t o, const int m, const int n, const int mode) {
    const int32_t channels = l->in_c, outputs = l->out_c;
    const struct range rows = outputs_of_tap(r, l->pad_top, l->stride_h, l->in_h, l->out_h);
    const struct range columns = outputs_of_tap(c, l->pad_left, l->stride_w, l->in_w, l->out_w);
    lane sum[TILE_CHANNELS][TILE_WIDE];
    UNROLL for (int b = 0; b < m; b++) UNROLL for (int j = 0; j < n; j++) sum[b][j] = (lane){0};
    for (int32_t oy = rows.from; oy < rows.to; oy++) {
        const int32_t iy = oy * l->stride_h - l->pad_top + r;
        const int32_t ix = columns.from * l->stride_w - l->pad_left + c;
        const lane *in = x + (iy * l->in_w + ix) * channels + i;
        const lane *d = dy + (oy * l->out_w + columns.from) * outputs + o;
        for (int32_t ox = columns.from; ox < columns.to; ox++) {
            UNROLL for (int b = 0; b < m; b++) {
                const lane value = in[b];
                UNROLL for (int j = 0; j < n; j++) sum[b][j] += value * d[j];
            }
            in += l->stride_w * channels;
            d += outputs;
        }
    }
    lane *weight = w + ((r * l->kernel_w + c) * channels + i) * outputs + o;
    UNROLL for (int b = 0; b < m; b++)
        UNROLL for (int j = 0; j < n; j++) learn_from(s, weight + b * outputs + j, sum[b][j], mode);
}

FLEET_INLINE void conv_gradient_channels(const struct fleet_layer *l, const struct step *s, lane *w,
                                         const lane *x, const lane *dy, int32_t r, int32_t c,
                                         int32_t i, const int m, const int mode) {
    int32_t o = 0;
    for (; o + TILE_CHANNELS <= l->out_c; o += TILE_CHANNELS)
        conv_gradient_tile(l, s, w, x, dy, r, c, i, o, m, TILE_CHANNELS, mode);
    for (; o < l->out_c; o++) conv_gradient_tile(l, s, w, x, dy, r, c, i, o, m, 1, mode);
}

/* Gradients of the three weights of kernel row r, channel i, for outputs o .. o + n: one walk over the
 * deltas serves all three. Sums run over output row and column, as in conv_gradient_tile. */
FLEET_INLINE void conv_gradient_three(const struct fleet_layer *l, const struct step *s, lane *w,
                                      const lane *x, const lane *dy, int32_t r, int32_t i,
                                      int32_t o, const int n, const int mode) {
    const int32_t channels = l->in_c, outputs = l->out_c;
    const struct range rows = outputs_of_tap(r, l->pad_top, l->stride_h, l->in_h, l->out_h);
    lane sum[3][TILE_WIDE];
    UNROLL for (int c = 0; c < 3; c++) UNROLL for (int j = 0; j < n; j++) sum[c][j] = (lane){0};
    for (int32_t oy = rows.from; oy < rows.to; oy++) {
        const int32_t iy = oy * l->stride_h - l->pad_top + r;
        const lane *d = dy + oy * l->out_w * outputs + o;
        for (int32_t ox = 0; ox < l->out_w; ox++, d += outputs) {
            const int32_t ix = ox * l->stride_w - l->pad_left;
            UNROLL for (int c = 0; c < 3; c++) {
                if (ix + c < 0 || ix + c >= l->in_w) continue;
                const lane value = x[(iy * l->in_w + ix + c) * channels + i];
                UNROLL for (int j = 0; j < n; j++) sum[c][j] += value * d[j];
            }
        }
    }
    UNROLL for (int c = 0; c < 3; c++) {
        lane *weight = w + ((r * 3 + c) * channels + i) * outputs + o;
        UNROLL for (int j = 0; j < n; j++) learn_from(s, weight + j, sum[c][j], mode);
    }
}

/* Few channels: share the walk over the deltas between the columns of the kernel instead. */
FLEET_INLINE void conv_gradient_few(const struct fleet_layer *l, const struct step *s, lane *w,
                                    const lane *x, const lane *dy, const int mode) {
    for (int32_t r = 0; r < l->kernel_h; r++) {
        for (int32_t i = 0; i < l->in_c; i++) {
            int32_t o = 0;
            for (; o + TILE_WIDE <= l->out_c; o += TILE_WIDE)
                conv_gradient_three(l, s, w, x, dy, r, i, o, TILE_WIDE, mode);
            for (; o < l->out_c; o++) conv_gradient_three(l, s, w, x, dy, r, i, o, 1, mode);
        }
    }
}

/* The biases' gradients o .. o + n: sums of deltas over all positions. */
FLEET_INLINE void bias_gradient_tile(const struct fleet_layer *l, const struct step *s, lane *bias,
                                     const lane *dy, int32_t o, const int n, const int mode) {
    lane sum[TILE_WIDE];
    UNROLL for (int j = 0; j < n; j++) sum[j] = (lane){0};
    for (int32_t at = 0; at < l->out_h * l->out_w; at++)
        UNROLL for (int j = 0; j < n; j++) sum[j] += dy[at * l->out_c + o + j];
    UNROLL for (int j = 0; j < n; j++) learn_from(s, bias + o + j, sum[j], mode);
}

FLEET_INLINE void bias_gradient(const struct fleet_layer *l, const struct step *s, lane *bias,
                                const lane *dy, const int mode) {
    int32_t o = 0;
    for (; o + TILE_WIDE <= l->out_c; o += TILE_WIDE)
        bias_gradient_tile(l, s, bias, dy, o, TILE_WIDE, mode);
    for (; o < l->out_c; o++) bias_gradient_tile(l, s, bias, dy, o, 1, mode);
}

FLEET_INLINE void conv_gradient_many(const struct fleet_layer *l, const struct step *s, lane *w,
                                     const lane *x, const lane *dy, const int mode) {
    for (int32_t r = 0; r < l->kernel_h; r++) {
        for (int32_t c = 0; c < l->kernel_w; c++) {
            int32_t i = 0;
            for (; i + TILE_CHANNELS <= l->in_c; i += TILE_CHANNELS)
                conv_gradient_channels(l, s, w, x, dy, r, c, i, TILE_CHANNELS, mode);
            for (; i < l->in_c; i++) conv_gradient_channels(l, s, w, x, dy, r, c, i, 1, mode);
        }
    }
}

FLEET_INLINE void conv_gradient(const struct fleet_layer *l, const struct step *s, lane *w,
                                const lane *x, const lane *dy, const int mode) {
    if (l->kernel_w == 3 && l->in_c < TILE_CHANNELS)
        conv_gradient_few(l, s, w, x, dy, mode);
    else
        conv_gradient_many(l, s, w, x, dy, mode);
    bias_gradient(l, s, w + l->kernel_h * l->kernel_w * l->in_c * l->out_c, dy, mode);
}

#endif
