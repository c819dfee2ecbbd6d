/* functions.h: exp, log, tanh and the sigmoid from additions, multiplications and divisions alone,
 * in one fixed order, so that no two machines differ in the last bit.
 *
 * Method: range reduction to a power of two, then a polynomial in Horner's form. Coefficients are
 * Taylor's for exp, and for log and tanh the minimax ones published with Cephes (Moshier 1992). */

#ifndef FLEET_FUNCTIONS_H
#define FLEET_FUNCTIONS_H

#include "lane.h"

/* A device that is short of flash calls these instead of repeating them. */
#ifdef FLEET_SMALL
#define FLEET_FUNCTION static __attribute__((noinline, unused))
#else
#define FLEET_FUNCTION FLEET_INLINE
#endif

/* exp(x) for x clamped to [-87, 88]; relative error below 2e-7 */
FLEET_FUNCTION lane lane_exp(lane x) {
    const lane magic = lane_of(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    lane clamped = lane_larger(lane_smaller(x, lane_of(88.0f)), lane_of(-87.0f));
    lane shifted = clamped * 1.44269504f + magic;
    lane n = shifted - magic;
    lane r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f; /* ln 2 in two parts */
    lane p = lane_of(1.0f / 5040.0f);
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    lane_bits power = lane_to_bits(shifted) - lane_to_bits(magic);
    return p * lane_from_bits((power + 127) << 23);
}

/* log(x) for normal x > 0; relative error below 2e-7 */
FLEET_FUNCTION lane lane_log(lane x) {
    lane_bits bits = lane_to_bits(x);
    lane_bits exponent = ((bits >> 23) & 0xff) - 126;
    lane m = lane_from_bits((bits & 0x007fffff) | 0x3f000000); /* in [0.5, 1) */
    lane_bits low = LANE_LESS(m, lane_of(0.70710678f));
    exponent = exponent + low; /* one less where m is low */
    m = lane_select(low, m + m, m) - 1.0f;
    lane_bits biased = exponent + 0x4b400000; /* the bits of 1.5 * 2^23 + exponent */
    lane n = lane_from_bits(biased) - 12582912.0f;
    lane z = m * m;
    lane p = lane_of(7.0376836292e-2f);
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    lane y = p * m * z + n * -2.12194440e-4f - z * 0.5f;
    return (m + y) + n * 0.693359375f;
}

/* 1 / (1 + exp(-x)) */
FLEET_FUNCTION lane lane_sigmoid(lane x) { return 1.0f / (1.0f + lane_exp(-x)); }

FLEET_FUNCTION lane lane_tanh(lane x) {
    lane size = lane_size(x);
    lane z = x * x;
    lane p = lane_of(-5.70498872745e-3f);
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    lane near = p * z * x + x;
    lane far = 1.0f - 2.0f / (lane_exp(size + size) + 1.0f);
    far = lane_select(LANE_LESS(x, (lane){0}), -far, far);
    return lane_select(LANE_LESS(size, lane_of(0.625f)), near, far);
}

#endif
