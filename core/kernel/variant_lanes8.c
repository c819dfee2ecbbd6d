/* Eight devices side by side: AVX2. */
#ifdef __x86_64__
#include "target_avx2.h"
#define FLEET_LANES 8
#define FLEET_VARIANT lanes8
#define TILE_POSITIONS 2
#include "variant.h"
#include "target_end.h"
#endif
