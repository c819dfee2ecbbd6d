/* relu_m4.h: ReLU on a Cortex-M4 or M7, four numbers at a time, in assembly.
 *
 * Whole numbers compare faster than floats do: bits above those of infinity are negative or NaN, of
 * which ReLU makes 0; what it has made is 0 or above, so only bits of 0 stop a delta. */

#ifndef FLEET_RELU_M4_H
#define FLEET_RELU_M4_H

#include "lane.h"

#define M4_RELU(x) "cmp " x ", #0x7f800000\n\tit hi\n\tmovhi " x ", #0\n\t"
#define M4_RELU_DELTA(y, d) "cmp " y ", #0\n\tit eq\n\tmoveq " d ", #0\n\t"

static void m4_relu(int32_t n, const float *x, float *y) {
    int32_t fours = n >> 2;
    if (fours > 0)
        __asm__ volatile("1:\n\t"
                         "ldmia %[x]!, {r2-r5}\n\t"
                         M4_RELU("r2") M4_RELU("r3") M4_RELU("r4") M4_RELU("r5")
                         "stmia %[y]!, {r2-r5}\n\t"
                         "subs %[fours], %[fours], #1\n\t"
                         "bne 1b"
                         : [x] "+r"(x), [y] "+r"(y), [fours] "+r"(fours)
                         :
                         : "r2", "r3", "r4", "r5", "cc", "memory");
    for (n &= 3; n; n--, x++, y++) *y = lane_select(LANE_LESS(0.0f, *x), *x, 0.0f);
}

static void m4_relu_deltas(int32_t n, const float *y, float *dx, const float *dy) {
    int32_t pairs = n >> 1;
    if (pairs > 0)
        __asm__ volatile("1:\n\t"
                         "ldmia %[y]!, {r2, r3}\n\t"
                         "ldmia %[dy]!, {r4, r5}\n\t"
                         M4_RELU_DELTA("r2", "r4") M4_RELU_DELTA("r3", "r5")
                         "stmia %[dx]!, {r4, r5}\n\t"
                         "subs %[pairs], %[pairs], #1\n\t"
                         "bne 1b"
                         : [y] "+r"(y), [dy] "+r"(dy), [dx] "+r"(dx), [pairs] "+r"(pairs)
                         :
                         : "r2", "r3", "r4", "r5", "cc", "memory");
    if (n & 1) *dx = lane_select(LANE_LESS(0.0f, *y), *dy, 0.0f);
}

#endif
