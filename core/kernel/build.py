"""Describe the kernel's build to cffi: one extension module with every variant in it."""

from pathlib import Path

import cffi

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

CDEF = """
struct fleet_layer {
    int32_t kind, trainable, in_h, in_w, in_c, out_h, out_w, out_c, kernel_h, kernel_w,
        stride_h, stride_w, pad_top, pad_left, parameters, input, output, input_delta,
        output_delta;
};
struct fleet_network {
    const struct fleet_layer *layers;
    int32_t layer_count, first_trainable, loss, parameters, inputs, outputs, scratch;
};
struct fleet_training {
    float rate;
    int32_t passes, batch, optimizer;
    float proximal, beta1, beta2, epsilon;
};
struct fleet_stream {
    int32_t devices, samples;
    int64_t start_apart, x_apart, y_apart;
    const float *start, *x, *y;
};
int fleet_check_network(const struct fleet_network *);
int64_t fleet_learn_memory(const struct fleet_network *, const struct fleet_training *);
int fleet_variant_count(void);
const char *fleet_variant_name(int);
int fleet_variant_lanes(int);
int64_t fleet_call_memory(int, const struct fleet_network *, const struct fleet_training *);
int fleet_learn(int, const struct fleet_network *, const struct fleet_training *,
                const struct fleet_stream *, float *, float *, float *);
int fleet_predict(int, const struct fleet_network *, const struct fleet_stream *, float *, float *);
"""

ffi = cffi.FFI()
ffi.cdef(CDEF)
ffi.set_source(
    "tinyfleet._kernel",
    '#include "host.h"',
    sources=[str(path.relative_to(ROOT)) for path in sorted(HERE.glob("*.c"))],
    include_dirs=[str(HERE.relative_to(ROOT))],
    depends=[str(path.relative_to(ROOT)) for path in sorted(HERE.glob("*.h"))],
    extra_compile_args=[
        "-O3",
        "-std=c99",
        "-ffp-contract=off",  # a fused multiply-add would round once where the M4 rounds twice
        "-fno-math-errno",
        "-Wno-psabi",
    ],
)

if __name__ == "__main__":
    ffi.compile(verbose=True)
