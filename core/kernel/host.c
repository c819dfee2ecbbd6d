/* host.c: the variants that were built, and which of them this processor runs. */

#include "host.h"

#include <stddef.h>

#define DECLARE(name)                                                                             \
    int fleet_##name##_learn(const struct fleet_network *, const struct fleet_training *,         \
                             const struct fleet_stream *, float *, float *, float *);             \
    int fleet_##name##_predict(const struct fleet_network *, const struct fleet_stream *, float *, \
                               float *);

DECLARE(scalar)
DECLARE(lanes4)

static int always(void) { return 1; }

#if defined(__x86_64__)
DECLARE(scalar512)
DECLARE(lanes8)
DECLARE(lanes16)

static int has_avx2(void) { return __builtin_cpu_supports("avx2"); }

static int has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl");
}
#endif

/* Narrow before wide: the last one that runs is the fastest for many devices. */
static const struct fleet_variant variants[] = {
    {"scalar", 1, always, fleet_scalar_learn, fleet_scalar_predict},
#if defined(__x86_64__)
    {"scalar512", 1, has_avx512, fleet_scalar512_learn, fleet_scalar512_predict},
#endif
    {"lanes4", 4, always, fleet_lanes4_learn, fleet_lanes4_predict},
#if defined(__x86_64__)
    {"lanes8", 8, has_avx2, fleet_lanes8_learn, fleet_lanes8_predict},
    {"lanes16", 16, has_avx512, fleet_lanes16_learn, fleet_lanes16_predict},
#endif
};

int fleet_variant_count(void) { return (int)(sizeof variants / sizeof variants[0]); }

static const struct fleet_variant *find(int variant) {
    if (variant < 0 || variant >= fleet_variant_count()) return NULL;
    return variants[variant].runs_here() ? &variants[variant] : NULL;
}

const char *fleet_variant_name(int variant) {
    const struct fleet_variant *v = find(variant);
    return v ? v->name : NULL;
}

int fleet_variant_lanes(int variant) {
    const struct fleet_variant *v = find(variant);
    return v ? v->lanes : FLEET_ERROR_VARIANT;
}

int64_t fleet_call_memory(int variant, const struct fleet_network *network,
                          const struct fleet_training *training) {
    const struct fleet_variant *v = find(variant);
    return v ? v->lanes * fleet_learn_memory(network, training) : FLEET_ERROR_VARIANT;
}

static int check_stream(const struct fleet_stream *s) {
    return s->devices < 1 || s->samples < 1 ? FLEET_ERROR_SHAPE : FLEET_OK;
}

int fleet_learn(int variant, const struct fleet_network *network,
                const struct fleet_training *training, const struct fleet_stream *stream,
                float *weights, float *losses, float *memory) {
    const struct fleet_variant *v = find(variant);
    if (!v) return FLEET_ERROR_VARIANT;
    int error = fleet_check_network(network);
    if (!error) error = fleet_check_training(training);
    if (!error) error = check_stream(stream);
    return error ? error : v->learn(network, training, stream, weights, losses, memory);
}

int fleet_predict(int variant, const struct fleet_network *network,
                  const struct fleet_stream *stream, float *outputs, float *memory) {
    const struct fleet_variant *v = find(variant);
    if (!v) return FLEET_ERROR_VARIANT;
    int error = fleet_check_network(network);
    if (!error) error = check_stream(stream);
    return error ? error : v->predict(network, stream, outputs, memory);
}
