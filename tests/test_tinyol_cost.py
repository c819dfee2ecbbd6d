"""What a feature's scaling costs in Table 2 is what an emulated Cortex-M4 takes for it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from boards import need

from tinyfleet.client.emulated import UnicornBoard
from tinyfleet.client.firmware.build import SCRIPT
from tinyfleet.client.head import Scaling
from tinyfleet.simulations.costs import CORTEX_M4, RASPBERRY_PI_4, Machine
from tinyfleet.simulations.reproduce.table_2 import SCALING, scaling_spent

FEATURES, SAMPLES = 32, 100

_C = """
typedef unsigned int word;
#define REGISTER(address) (*(volatile word *)(address))
#define CYCLES REGISTER(0x40002008)
enum { FEATURES = %d, SAMPLES = %d };

void start(void);
static word stack[1024] __attribute__((section(".bss.stack")));
__attribute__((section(".vectors"), used)) static const struct { word *top; void (*go)(void); }
    vectors = {stack + 1024, start};

static real count, mean[FEATURES], squares[FEATURES];
static float z[FEATURES];
static struct { word seen, standardised; float x[FEATURES]; } told;

__attribute__((noinline)) static void see(void) {
    count += 1;
    for (int i = 0; i < FEATURES; i++) {
        real apart = z[i] - mean[i];
        mean[i] += apart / count;
        squares[i] += apart * (z[i] - mean[i]);
    }
}

__attribute__((noinline)) static void standardise(void) {
    for (int i = 0; i < FEATURES; i++) {
        real deviation = ROOT(squares[i] / count);
        real x = (z[i] - mean[i]) / (deviation == 0 ? (real)1 : deviation);
        told.x[i] = (float)(x > 8 ? (real)8 : x < -8 ? (real)-8 : x);
    }
}

void start(void) {
    REGISTER(0xe000ed88) |= 0xfu << 20; /* the FPU */
    __asm__ volatile("dsb\\n\\tisb" ::: "memory");
    count = 0;
    for (int i = 0; i < FEATURES; i++) mean[i] = squares[i] = 0;
    for (int sample = 0; sample < SAMPLES; sample++) {
        for (int i = 0; i < FEATURES; i++) z[i] = (float)((37 * i + 11 * sample) %% 101) / 7.0f;
        word begun = CYCLES;
        see();
        told.seen = CYCLES - begun;
    }
    word begun = CYCLES;
    standardise();
    told.standardised = CYCLES - begun;
    REGISTER(0x40002018) = (word)&told;
    REGISTER(0x40002020) = sizeof told;
    while (!REGISTER(0x40002004)) {
    }
}
""" % (FEATURES, SAMPLES)  # noqa: UP031 (braces are C's)

_ZIG = "-target thumb-freestanding-eabihf -mcpu=cortex_m4+vfp4d16sp -Oz -Xclang -Oz -std=c99"
_EXACT = "-fomit-frame-pointer -fno-sanitize=all -ffp-contract=off -fno-math-errno -ffreestanding"


def counted(real: str, root: str, folder: Path) -> tuple[float, float, bytes]:
    """Return instructions a feature to see and to standardise it, and what is standardised."""
    need()
    source, elf = folder / "scaling.c", folder / "scaling.elf"
    source.write_text(_C, encoding="utf-8")
    flags = [*_ZIG.split(), *_EXACT.split(), f"-Dreal={real}", f"-DROOT={root}"]
    command = [sys.executable, "-m", "ziglang", "cc", *flags, f"-Wl,-T,{SCRIPT}", "-Wl,-e,start"]
    subprocess.run([*command, str(source), "-o", str(elf)], check=True, capture_output=True)
    told = UnicornBoard(elf, count=True).read(0.0)
    seen, standardised = np.frombuffer(told[:8], "<u4").tolist()
    return seen / FEATURES, standardised / FEATURES, told[8:]


@pytest.mark.parametrize(
    ("machine", "real", "root"),
    [
        (CORTEX_M4, "double", "__builtin_sqrt"),  # it has no unit for doubles
        (RASPBERRY_PI_4, "float", "__builtin_sqrtf"),  # it has; as many as an M4 takes for floats
    ],
    ids=["cortex-m4", "raspberry-pi-4"],
)
def test_a_feature_s_scaling_takes_what_was_counted(
    machine: Machine, real: str, root: str, tmp_path: Path
) -> None:
    seen, standardised, x = counted(real, root, tmp_path)

    assert SCALING[machine.name].seen == pytest.approx(seen, rel=0.05)
    assert SCALING[machine.name].standardised == pytest.approx(standardised, rel=0.05)
    nothing = np.zeros(FEATURES)
    scaling, place = Scaling(0, nothing, nothing), np.arange(FEATURES)
    for sample in range(SAMPLES):
        z = ((37 * place + 11 * sample) % 101).astype(np.float32) / np.float32(7)
        scaling = scaling.seen(z)
    expected = scaling.standardised(z)
    np.testing.assert_allclose(np.frombuffer(x, "<f4"), expected, rtol=1e-5, atol=1e-6)
    if real == "double":
        assert x == expected.tobytes()


def test_scaling_is_spent_a_feature_at_a_time() -> None:
    spent = scaling_spent(SCALING[CORTEX_M4.name].seen, 32, CORTEX_M4)

    assert spent.seconds == pytest.approx(32 * SCALING[CORTEX_M4.name].seen * 1.3 / 64e6)
    assert spent.joules == pytest.approx(0.24 * spent.seconds)
