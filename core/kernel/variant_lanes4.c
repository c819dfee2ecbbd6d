/* Four devices side by side: SSE2 and NEON, which every 64-bit processor has. */
#define FLEET_LANES 4
#define FLEET_VARIANT lanes4
#define TILE_POSITIONS 2
#include "variant.h"
