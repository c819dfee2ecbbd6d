/* dense_m4.h: dense layers on a Cortex-M4 or M7, eight or sixteen outputs at a time, in assembly.
 *
 * Compilers load eight neighbours with eight instructions; the processor does it with one. Products and
 * sums are those of dense.h, in the same order and each rounded, so the bits are the same. Products are
 * not fused with sums where the processor could (VMLA): that takes it longer than the two it stands for.
 *
 *     s0-s7 weights   s8, s9 two inputs   s10, s11 their deltas   s12, s13 products
 *     s16-s23 sums, or deltas of the outputs   s24-s31 more sums, or the steps that the deltas make
 *
 * Two inputs are done in one turn. Where their number is odd, the first turn begins with its second half,
 * one place further down: what it loads for the first half it stores again as it was. */

#ifndef FLEET_DENSE_M4_H
#define FLEET_DENSE_M4_H

#include "tile.h"

#define M4_EIGHT(DO, x, dx)                                                                       \
    DO("s0", "s16", "s24", x, dx)                                                                 \
    DO("s1", "s17", "s25", x, dx)                                                                 \
    DO("s2", "s18", "s26", x, dx)                                                                 \
    DO("s3", "s19", "s27", x, dx)                                                                 \
    DO("s4", "s20", "s28", x, dx)                                                                 \
    DO("s5", "s21", "s29", x, dx)                                                                 \
    DO("s6", "s22", "s30", x, dx)                                                                 \
    DO("s7", "s23", "s31", x, dx)
#define M4_CLOBBERS                                                                               \
    "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12", "s13",       \
        "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23", "s24", "s25", "s26", "s27",       \
        "s28", "s29", "s30", "s31", "cc", "memory"

#define M4_PRODUCT(w, sum, on, x, dx) "vmul.f32 " w ", " x ", " w "\n\t"
#define M4_SUM(w, sum, on, x, dx) "vadd.f32 " sum ", " sum ", " w "\n\t"
#define M4_SUM_ON(w, sum, on, x, dx) "vadd.f32 " on ", " on ", " w "\n\t"
#define M4_MOVE(w, d, move, x, dx) "vmul.f32 " move ", %[rate], " d "\n\t"
#define M4_BIAS(w, d, move, x, dx) "vsub.f32 " w ", " w ", " move "\n\t"
#define M4_LEARN(w, d, move, x, dx)                                                               \
    "vmul.f32 s13, " x ", " move "\n\tvsub.f32 " w ", " w ", s13\n\t"
#define M4_BOTH(w, d, move, x, dx)                                                                \
    "vmul.f32 s12, " w ", " d "\n\tvmul.f32 s13, " x ", " move "\n\t"                            \
    "vadd.f32 " dx ", " dx ", s12\n\tvsub.f32 " w ", " w ", s13\n\t"

/* Take half of the inputs, rounded up, for turns; the carry says whether their number was odd. */
#define M4_TURNS "lsrs %[turns], %[inputs], #1\n\tadc %[turns], %[turns], #0\n\t"

/* A row of eight, then its neighbour, on to sixteen sums; `w` goes to the next row. */
#define M4_FORWARD(x)                                                                             \
    "vldmia %[w]!, {s0-s7}\n\t" M4_EIGHT(M4_PRODUCT, x, ) M4_EIGHT(M4_SUM, , )                    \
    "vldmia %[w], {s0-s7}\n\t" M4_EIGHT(M4_PRODUCT, x, ) M4_EIGHT(M4_SUM_ON, , )                  \
    "add %[w], %[w], %[apart]\n\t"

/* A row of eight: its part of the input's delta, then its step; `w` goes to the next row. */
#define M4_BACKWARD(x, dx)                                                                        \
    "vldmia %[w], {s0-s7}\n\t" M4_EIGHT(M4_BOTH, x, dx) "vstmia %[w], {s0-s7}\n\t"               \
    "add %[w], %[w], %[apart]\n\t"

/* Outputs of `tiles` times sixteen; return the first that is left. */
FLEET_INLINE int32_t m4_forward(const float *w, const float *x, float *y, int32_t inputs,
                                int32_t outputs) {
    const int32_t apart = 4 * outputs - 32, rows = 4 * inputs * outputs, span = 4 * inputs;
    int32_t turns, tiles = outputs >> 4;
    if (tiles)
        __asm__ volatile("3:\n\t"
                         "add %[w], %[w], %[rows]\n\t"
                         "vldmia %[w], {s16-s31}\n\t" /* the biases */
                         "sub %[w], %[w], %[rows]\n\t"
                         M4_TURNS
                         "bcc 1f\n\t"
                         "vldmia %[x]!, {s9}\n\t"
                         "b 2f\n"
                         "1:\n\t"
                         "vldmia %[x]!, {s8, s9}\n\t"
                         M4_FORWARD("s8")
                         "\n2:\n\t"
                         M4_FORWARD("s9")
                         "subs %[turns], %[turns], #1\n\t"
                         "bne 1b\n\t"
                         "vstmia %[y]!, {s16-s31}\n\t"
                         "sub %[w], %[w], %[rows]\n\t"
                         "add %[w], %[w], #64\n\t"
                         "sub %[x], %[x], %[span]\n\t"
                         "subs %[tiles], %[tiles], #1\n\t"
                         "bne 3b"
                         : [w] "+r"(w), [x] "+r"(x), [y] "+r"(y), [turns] "=&r"(turns),
                           [tiles] "+r"(tiles)
                         : [inputs] "r"(inputs), [apart] "r"(apart), [rows] "r"(rows),
                           [span] "r"(span)
                         : M4_CLOBBERS);
    return outputs & ~15;
}

/* dx[i] += sum of w[i][o] d[o] for `tiles` times eight o, then the weights learn, then the biases behind
 * them; return the first output that is left. */
FLEET_INLINE int32_t m4_backward(float *w, const float *x, float *dx, const float *d,
                                 int32_t inputs, int32_t outputs, float rate) {
    const int32_t apart = 4 * outputs, rows = 4 * inputs * outputs - 32, span = 4 * inputs;
    int32_t turns, tiles = outputs >> 3;
    if (tiles)
        __asm__ volatile("3:\n\t"
                         "vldmia %[d]!, {s16-s23}\n\t"
                         M4_EIGHT(M4_MOVE, , )
                         M4_TURNS
                         "bcc 1f\n\t"
                         "vldmia %[x]!, {s9}\n\t"
                         "sub %[dx], %[dx], #4\n\t"
                         "vldmia %[dx], {s10, s11}\n\t"
                         "b 2f\n"
                         "1:\n\t"
                         "vldmia %[x]!, {s8, s9}\n\t"
                         "vldmia %[dx], {s10, s11}\n\t"
                         M4_BACKWARD("s8", "s10")
                         "\n2:\n\t"
                         M4_BACKWARD("s9", "s11")
                         "vstmia %[dx]!, {s10, s11}\n\t"
                         "subs %[turns], %[turns], #1\n\t"
                         "bne 1b\n\t"
                         "vldmia %[w], {s0-s7}\n\t"
                         M4_EIGHT(M4_BIAS, , )
                         "vstmia %[w], {s0-s7}\n\t"
                         "sub %[w], %[w], %[rows]\n\t"
                         "sub %[x], %[x], %[span]\n\t"
                         "sub %[dx], %[dx], %[span]\n\t"
                         "subs %[tiles], %[tiles], #1\n\t"
                         "bne 3b"
                         : [w] "+r"(w), [x] "+r"(x), [dx] "+r"(dx), [d] "+r"(d),
                           [turns] "=&r"(turns), [tiles] "+r"(tiles)
                         : [inputs] "r"(inputs), [apart] "r"(apart), [rows] "r"(rows),
                           [span] "r"(span), [rate] "t"(rate)
                         : M4_CLOBBERS);
    return outputs & ~7;
}

/* The same where nothing below learns. */
FLEET_INLINE int32_t m4_learn(float *w, const float *x, const float *d, int32_t inputs,
                              int32_t outputs, float rate) {
    const int32_t apart = 4 * outputs, rows = 4 * inputs * outputs - 32, span = 4 * inputs;
    int32_t turns, tiles = outputs >> 3;
    if (tiles)
        __asm__ volatile("3:\n\t"
                         "vldmia %[d]!, {s16-s23}\n\t"
                         M4_EIGHT(M4_MOVE, , )
                         "mov %[turns], %[inputs]\n"
                         "1:\n\t"
                         "vldmia %[x]!, {s8}\n\t"
                         "vldmia %[w], {s0-s7}\n\t"
                         M4_EIGHT(M4_LEARN, "s8", )
                         "vstmia %[w], {s0-s7}\n\t"
                         "add %[w], %[w], %[apart]\n\t"
                         "subs %[turns], %[turns], #1\n\t"
                         "bne 1b\n\t"
                         "vldmia %[w], {s0-s7}\n\t"
                         M4_EIGHT(M4_BIAS, , )
                         "vstmia %[w], {s0-s7}\n\t"
                         "sub %[w], %[w], %[rows]\n\t"
                         "sub %[x], %[x], %[span]\n\t"
                         "subs %[tiles], %[tiles], #1\n\t"
                         "bne 3b"
                         : [w] "+r"(w), [x] "+r"(x), [d] "+r"(d), [turns] "=&r"(turns),
                           [tiles] "+r"(tiles)
                         : [inputs] "r"(inputs), [apart] "r"(apart), [rows] "r"(rows),
                           [span] "r"(span), [rate] "t"(rate)
                         : M4_CLOBBERS);
    return outputs & ~7;
}

/* Eight at a time, then one at a time. */
FLEET_INLINE void m4_clear(float *at, int32_t count) {
    int32_t eights;
    __asm__ volatile("vmov d0, %[zero], %[zero]\n\t"
                     "vmov d1, %[zero], %[zero]\n\t"
                     "vmov d2, %[zero], %[zero]\n\t"
                     "vmov d3, %[zero], %[zero]\n\t"
                     "lsrs %[eights], %[count], #3\n\t"
                     "beq 2f\n"
                     "1:\n\t"
                     "vstmia %[at]!, {s0-s7}\n\t"
                     "subs %[eights], %[eights], #1\n\t"
                     "bne 1b\n"
                     "2:\n\t"
                     "ands %[count], %[count], #7\n\t"
                     "beq 4f\n"
                     "3:\n\t"
                     "vstmia %[at]!, {s0}\n\t"
                     "subs %[count], %[count], #1\n\t"
                     "bne 3b\n"
                     "4:"
                     : [at] "+r"(at), [count] "+r"(count), [eights] "=&r"(eights)
                     : [zero] "r"(0)
                     : "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "cc", "memory");
}

/* One output; one output's part of the inputs' deltas; one output's step. Biases lie behind their weights,
 * and there is one input or more. */
static float column_sum(const float *w, const float *x, int32_t inputs, int32_t outputs) {
    float sum = w[inputs * outputs];
    do {
        sum += *x++ * *w;
        w += outputs;
    } while (--inputs);
    return sum;
}

static void column_deltas(const float *w, float *dx, float d, int32_t inputs, int32_t outputs) {
    do {
        *dx++ += *w * d;
        w += outputs;
    } while (--inputs);
}

static void column_learns(float *w, const float *x, float move, int32_t inputs, int32_t outputs) {
    do {
        *w -= *x++ * move;
        w += outputs;
    } while (--inputs);
    *w -= move;
}

static void dense_forward(const struct fleet_layer *l, const float *w, const float *x, float *y) {
    const int32_t inputs = l->in_c, outputs = l->out_c;
    for (int32_t o = m4_forward(w, x, y, inputs, outputs); o < outputs; o++)
        y[o] = column_sum(w + o, x, inputs, outputs);
}

FLEET_INLINE void dense_backward(const struct fleet_layer *l, const struct step *s, float *w,
                                 const float *x, float *dx, const float *dy, const int mode) {
    const int32_t inputs = l->in_c, outputs = l->out_c;
    int32_t o = 0;
    if (dx) m4_clear(dx, inputs);
    if (mode == MODE_ONLINE)
        o = dx ? m4_backward(w, x, dx, dy, inputs, outputs, s->rate)
               : m4_learn(w, x, dy, inputs, outputs, s->rate);
    for (; o < outputs; o++) {
        if (dx) column_deltas(w + o, dx, dy[o], inputs, outputs);
        if (mode == MODE_ONLINE) column_learns(w + o, x, s->rate * dy[o], inputs, outputs);
    }
}

#endif
