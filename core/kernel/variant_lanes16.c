/* Sixteen devices side by side: AVX-512. */
#ifdef __x86_64__
#include "target_avx512.h"
#define FLEET_LANES 16
#define FLEET_VARIANT lanes16
#define TILE_POSITIONS 4
#define TILE_NINE 2
#include "variant.h"
#include "target_end.h"
#endif
