"""Plan the first layers patch by patch (MCUNetV2, Lin et al. 2021, arXiv 2110.15352, section 3.1).

The output of a stage of leading layers is cut into a grid of patches. One after the other is
computed from the part of the input that it sees, so that between the stage's layers only one
patch's activations are in memory. Patches of neighbours overlap there, and what lies in both is
computed twice: the extra multiply-accumulates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

Pair = tuple[int, int]
Lengths = tuple[int, ...]
"""For one patch and one axis: how much it needs of the input, then of each layer's output."""

_MOST_GRID: Final = 8
MOST_LAYERS: Final = 32


@dataclass(frozen=True)
class Slide:
    """A layer whose outputs each see one window of its input.

    Attributes:
        kernel: rows and columns of the window, dilation included.
        before: rows and columns of padding before the first.
        sizes_in, sizes_out: rows and columns.
        bytes_in, bytes_out: of all channels of one position.
        macs: multiply-accumulates of one position of the output.
    """

    kernel: Pair
    stride: Pair
    before: Pair
    sizes_in: Pair
    sizes_out: Pair
    bytes_in: int
    bytes_out: int
    macs: int


@dataclass(frozen=True)
class Patches:
    """The best plan that was found.

    Attributes:
        layers: leading layers of the stage.
        grid: patches from top to bottom, and from left to right.
        ram_bytes: most bytes of activations at once, the stage's whole input kept.
        streamed_ram_bytes: the same where a camera or a file brings each patch's input alone.
        whole_ram_bytes: most bytes layer by layer, without patches.
        macs: multiply-accumulates of the whole model with patches.
        extra_macs: how many more they are than layer by layer; below 0 where rows that no later
            layer reads are left out.
    """

    layers: int
    grid: Pair
    ram_bytes: int
    streamed_ram_bytes: int
    whole_ram_bytes: int
    macs: int
    extra_macs: int


def best_patches(slides: Sequence[Slide], rest: Sequence[int], macs: int) -> Patches | None:
    """Return the stage and grid of the lowest peak, and of those the one with fewest extra MACs.

    Args:
        slides: leading layers, each reading the one before alone.
        rest: most bytes of activations of what follows the first 0, 1, 2 .. layers; rest[0] is
            the whole model's.
        macs: multiply-accumulates of the whole model.

    Returns:
        The best plan, or None where no plan needs less memory than layer by layer.
    """
    plans = [
        _cost(slides[:count], rest, (rows, columns), macs)
        for count in range(2, min(len(slides), MOST_LAYERS) + 1)
        for rows in range(1, min(_MOST_GRID, slides[count - 1].sizes_out[0]) + 1)
        for columns in range(1, min(_MOST_GRID, slides[count - 1].sizes_out[1]) + 1)
    ]
    better = [plan for plan in plans if plan.ram_bytes < plan.whole_ram_bytes]
    return min(better, key=lambda plan: (plan.ram_bytes, plan.extra_macs), default=None)


def _cost(stage: Sequence[Slide], rest: Sequence[int], grid: Pair, macs: int) -> Patches:
    rows, columns = (_axis(stage, axis, grid[axis]) for axis in (0, 1))
    first, last = stage[0], stage[-1]
    source = first.sizes_in[0] * first.sizes_in[1] * first.bytes_in
    target = last.sizes_out[0] * last.sizes_out[1] * last.bytes_out
    kept = streamed = 0
    for row in set(rows):
        for column in set(columns):
            held = [row[i + 1] * column[i + 1] * slide.bytes_out for i, slide in enumerate(stage)]
            held[-1] = 0  # the last layer writes into the stage's output
            part = row[0] * column[0] * first.bytes_in
            most = max(held[0], *(a + b for a, b in pairwise(held)))
            kept = max(kept, source + target + most)
            streamed = max(streamed, target + max(part + held[0], most))
    extra = 0
    for i, slide in enumerate(stage):
        computed = sum(row[i + 1] for row in rows) * sum(column[i + 1] for column in columns)
        extra += slide.macs * (computed - slide.sizes_out[0] * slide.sizes_out[1])
    after = rest[len(stage)]
    return Patches(
        len(stage), grid, max(kept, after), max(streamed, after), rest[0], macs + extra, extra
    )


def _axis(stage: Sequence[Slide], axis: int, count: int) -> list[Lengths]:
    """Return, for each of `count` patches along an axis, how much of every tensor it needs."""
    size = stage[-1].sizes_out[axis]
    patches = []
    for number in range(count):
        span = (number * size // count, (number + 1) * size // count)
        lengths = [span[1] - span[0]]
        for slide in reversed(stage):
            start = span[0] * slide.stride[axis] - slide.before[axis]
            stop = (span[1] - 1) * slide.stride[axis] - slide.before[axis] + slide.kernel[axis]
            most = slide.sizes_in[axis]
            span = (min(max(start, 0), most), max(min(stop, most), 0))
            span = (span[0], max(span))
            lengths.append(span[1] - span[0])
        patches.append(tuple(reversed(lengths)))
    return patches
