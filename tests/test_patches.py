"""Patch-by-patch plans: against positions followed one by one, and against a figure by hand."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfleet import named_network
from tinyfleet.ontology.describe_network import describe_network
from tinyfleet.ontology.tflite.liveness import Life, span
from tinyfleet.ontology.tflite.patches import Patches, Slide, best_patches


def axis(size: int, kernel: int, stride: int, *, same: bool) -> tuple[int, int]:
    """Return how many outputs there are, and the padding before."""
    out = -(-size // stride) if same else (size - kernel) // stride + 1
    return out, max((out - 1) * stride + kernel - size, 0) // 2 if same else 0


def chain(size: int, layers: list[tuple[int, int, bool, int]]) -> list[Slide]:
    """Square images: layers of kernel, stride, padding and bytes of a position made."""
    slides = []
    held = 3
    for kernel, stride, same, made in layers:
        out, before = axis(size, kernel, stride, same=same)
        slides.append(
            Slide(
                (kernel, kernel),
                (stride, stride),
                (before, before),
                (size, size),
                (out, out),
                held,
                made,
                kernel * kernel * held * made,
            )
        )
        size, held = out, made
    return slides


def needed(slide: Slide, outputs: set[int]) -> set[int]:
    """Return the rows of a layer's input that these rows of its output see, one by one."""
    return {
        row * slide.stride[0] - slide.before[0] + tap
        for row in outputs
        for tap in range(slide.kernel[0])
        if 0 <= row * slide.stride[0] - slide.before[0] + tap < slide.sizes_in[0]
    }


def followed(stage: list[Slide], grid: tuple[int, int]) -> tuple[int, int]:
    """Return the peak with the whole input kept, and the MACs, position by position."""
    size = stage[-1].sizes_out[0]
    source = stage[0].sizes_in[0] ** 2 * stage[0].bytes_in
    target = size**2 * stage[-1].bytes_out
    peak = macs = 0
    for row in range(grid[0]):
        for column in range(grid[1]):
            sides = []
            for number, count in ((row, grid[0]), (column, grid[1])):
                side = [set(range(number * size // count, (number + 1) * size // count))]
                for slide in reversed(stage):
                    side.insert(0, needed(slide, side[0]))
                sides.append(side)
            areas = [len(r) * len(c) for r, c in zip(*sides, strict=True)][1:]
            macs += sum(a * slide.macs for a, slide in zip(areas, stage, strict=True))
            held = [a * slide.bytes_out for a, slide in zip(areas, stage, strict=True)][:-1]
            pairs = [a + b for a, b in zip([0, *held], [*held, 0], strict=True)]
            peak = max(peak, source + target + max(pairs))
    return peak, macs


@settings(max_examples=100, deadline=None)
@given(
    st.integers(9, 24),
    st.lists(
        st.tuples(st.integers(2, 4), st.integers(1, 2), st.just(True), st.integers(1, 9)),
        min_size=2,
        max_size=4,
    ),
)
def test_the_best_plan_is_what_following_every_position_gives(
    size: int, layers: list[tuple[int, int, bool, int]]
) -> None:
    slides = chain(size, layers)
    plain = sum(slide.macs * math.prod(slide.sizes_out) for slide in slides)

    plan = best_patches(slides, [10**9, *[0] * len(slides)], plain)

    assert plan is not None
    stage = slides[: plan.layers]
    peak, macs = followed(stage, plan.grid)
    rest = sum(slide.macs * math.prod(slide.sizes_out) for slide in slides[plan.layers :])
    assert (plan.ram_bytes, plan.macs) == (peak, macs + rest)
    assert plan.macs - plan.extra_macs == plain


def test_two_convolutions_by_hand() -> None:
    """8x8 of 1 byte, 3x3 to 8 bytes, 3x3 stride 2 to 2 bytes: 4x4 of 2 come out."""
    slides = chain(8, [(3, 1, True, 8), (3, 2, True, 2)])
    slides = [slides[0], slides[1]]

    plan = best_patches(slides, [64 * 3 + 64 * 8, 500, 32], 0)

    # 4 x 4 patches of one output each see at most 3 x 3 of the first layer's 8 bytes.
    assert plan is not None
    assert (plan.layers, plan.grid) == (2, (4, 4))
    assert plan.ram_bytes == 64 * 3 + 16 * 2 + 3 * 3 * 8
    assert plan.streamed_ram_bytes == 16 * 2 + 5 * 5 * 3 + 3 * 3 * 8
    # Rows of the middle seen by the four patches: 3, 3, 3 and 2, of which 8 are different.
    assert plan.extra_macs == (11 * 11 - 64) * slides[0].macs


def test_no_plan_where_the_rest_needs_the_most() -> None:
    slides = chain(8, [(3, 1, True, 8), (3, 2, True, 2)])

    assert best_patches(slides, [1000, 1000, 1000], 0) is None
    assert best_patches(slides[:1], [1000, 10], 0) is None


def test_our_own_network_is_planned_too() -> None:
    plan = describe_network(named_network("characters-mcu")).patches

    assert plan == Patches(4, (4, 4), 7040, 6144, 9408, 128_232, 40_704)


def test_tensors_share_places_when_their_lives_do_not_meet() -> None:
    assert span([Life(100, 0, 1), Life(50, 1, 2), Life(100, 2, 3)]) == 150
    assert span([Life(100, 0, 0), Life(90, 1, 1)]) == 100
    assert span([]) == 0
    assert span([Life(16, step, step + 1) for step in range(2000)]) == 32
