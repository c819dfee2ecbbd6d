/* One device at a time; the compiler may use AVX-512 over a layer's outputs. */
#ifdef __x86_64__
#include "target_avx512.h"
#define FLEET_LANES 1
#define FLEET_VARIANT scalar512
#define TILE_WIDE 16
#define TILE_CHANNELS 16
#define TILE_POSITIONS 4
#define TILE_NINE 2
#include "variant.h"
#include "target_end.h"
#endif
