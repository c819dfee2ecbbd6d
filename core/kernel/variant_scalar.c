/* One device at a time, in plain C: what a microcontroller runs. */
#define FLEET_LANES 1
#define FLEET_VARIANT scalar
#include "variant.h"
