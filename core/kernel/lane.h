/* lane.h: the number that the kernel computes with: one float, or one float of each of 4, 8 or 16
 * devices side by side. Every operation works lane by lane, so a lane computes the bits of a scalar. */

#ifndef FLEET_LANE_H
#define FLEET_LANE_H

#include <stdint.h>

#ifndef FLEET_LANES
#define FLEET_LANES 1
#endif

/* A scalar build for a Cortex-M with an FPU takes the inner loops that are written in its assembly. */
#if FLEET_LANES == 1 && defined(__thumb2__) && defined(__ARM_FP) && !defined(FLEET_NO_ASSEMBLY)
#if __ARM_ARCH_PROFILE == 'M'
#define FLEET_M4
#endif
#endif

#define FLEET_INLINE static inline __attribute__((always_inline))

#if FLEET_LANES == 1
typedef float lane;
typedef int32_t lane_bits;
#define LANE_LESS(a, b) (-(lane_bits)((a) < (b)))
#define LANE_EQUAL(a, b) (-(lane_bits)((a) == (b)))
#else
typedef float lane __attribute__((vector_size(4 * FLEET_LANES)));
typedef int32_t lane_bits __attribute__((vector_size(4 * FLEET_LANES)));
#define LANE_LESS(a, b) ((lane_bits)((a) < (b)))
#define LANE_EQUAL(a, b) ((lane_bits)((a) == (b)))
#endif

union lane_view {
    lane number;
    lane_bits bits;
    float each[FLEET_LANES];
};

FLEET_INLINE lane lane_of(float value) { return value - (lane){0}; }

FLEET_INLINE lane_bits lane_to_bits(lane number) {
    union lane_view view;
    view.number = number;
    return view.bits;
}

FLEET_INLINE lane lane_from_bits(lane_bits bits) {
    union lane_view view;
    view.bits = bits;
    return view.number;
}

/* where mask is all ones: yes; where it is all zeros: no */
FLEET_INLINE lane lane_select(lane_bits mask, lane yes, lane no) {
    return lane_from_bits((mask & lane_to_bits(yes)) | (~mask & lane_to_bits(no)));
}

FLEET_INLINE lane lane_larger(lane a, lane b) { return lane_select(LANE_LESS(a, b), b, a); }

FLEET_INLINE lane lane_smaller(lane a, lane b) { return lane_select(LANE_LESS(b, a), b, a); }

FLEET_INLINE lane lane_size(lane a) { return lane_from_bits(lane_to_bits(a) & 0x7fffffff); }

#ifndef FLEET_NO_BATCH
/* The square root of IEEE 754: exactly rounded, the same on every machine. */
FLEET_INLINE lane lane_root(lane a) {
    union lane_view view;
    view.number = a;
    for (int i = 0; i < FLEET_LANES; i++) view.each[i] = __builtin_sqrtf(view.each[i]);
    return view.number;
}
#endif

#endif
