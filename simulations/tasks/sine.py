"""Sine curves: every device knows a few points of its own curve y = a sin(b x + c)."""

import hashlib
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import DatasetError
from tinyfleet.simulations.draws import Stream, integers, normals, uniforms
from tinyfleet.simulations.tasks.split import Part, part_number
from tinyfleet.task import Floats, TaskBatch

Range = tuple[float, float]

# where x is, and how wrong y is
SUPPORT_STREAMS = (Stream.SINE_SUPPORT, Stream.SINE_SUPPORT_NOISE)
QUERY_STREAMS = (Stream.SINE_QUERY, Stream.SINE_QUERY_NOISE)


@dataclass(frozen=True)
class Sine:
    """A population of sine curves, one a device; a `TaskFamily`.

    Every part (training, validation, test) is a population of its own: device 3 of one part has
    nothing to do with device 3 of another.

    Attributes:
        seed: seed of the population, 0..2**64 - 1.
        part: which population.
        support: points that a device learns from.
        query: points that it is judged on; may be 0.
        query_at: "grid" for evenly spaced points over the domain without noise, "random" for points
            drawn like those of the support.
        amplitude: range of a, uniform.
        frequency: range of b, uniform.
        phase: range of c in radians, uniform.
        domain: range of x, uniform.
        noise: largest standard deviation of a device's sensor; each device's own is uniform in
            0..noise and is added to y.
        min_support: when given, a device has min_support..support points, always the same number.

    Raises:
        DatasetError: a range is upside down or not finite, or a count cannot be.
    """

    seed: int = 0
    part: Part = "train"
    support: int = 32
    query: int = 0
    query_at: Literal["grid", "random"] = "grid"
    amplitude: Range = (0.1, 5.0)
    frequency: Range = (0.8, 1.2)
    phase: Range = (0.0, 2.0 * math.pi)
    domain: Range = (-5.0, 5.0)
    noise: float = 0.0
    min_support: int | None = None

    def __post_init__(self) -> None:
        part_number(self.part)
        for name, (low, high) in (
            ("amplitude", self.amplitude),
            ("frequency", self.frequency),
            ("phase", self.phase),
            ("domain", self.domain),
        ):
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise DatasetError(f"sine.{name}: expected low <= high, got ({low}, {high})")
        for name, value, good in (
            ("support", self.support, self.support >= 1),
            ("query", self.query, self.query >= 0),
            ("query_at", self.query_at, self.query_at in ("grid", "random")),
            ("noise", self.noise, math.isfinite(self.noise) and self.noise >= 0),
            (
                "min_support",
                self.min_support,
                self.min_support is None or 1 <= self.min_support <= self.support,
            ),
        ):
            if not good:
                raise DatasetError(f"sine.{name}: got {value!r}; see the docstring of Sine")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example: one number."""
        return (1,)

    @property
    def outputs(self) -> int:
        """Length of one target: one number."""
        return 1

    @property
    def provenance(self) -> str:
        """Say which curves these are."""
        words = [f"{name} in [{low:.4g}, {high:.4g}]" for name, (low, high) in self._ranges()]
        return f"sine curves a sin(b x + c), {self.part} part, drawn with {', '.join(words)}"

    @property
    def fingerprint(self) -> str:
        """Tell populations of other fields apart: 16 hexadecimal digits."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    def curves(self, devices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return amplitude a, frequency b and phase c of each device, `(n, 3)`."""
        u = uniforms((self.seed, Stream.SINE_CURVE, part_number(self.part)), devices, 3)
        low, high = np.array([self.amplitude, self.frequency, self.phase]).T
        return np.asarray(low + (high - low) * u)

    def batch(self, devices: NDArray[np.int64], round_number: int) -> TaskBatch:
        """Return the tasks of `devices`, `(n,)`; x and noise are new every round."""
        curves = self.curves(devices)
        x, y = self._sampled(devices, round_number, curves, self.support, SUPPORT_STREAMS)
        if self.query_at == "grid":
            grid = np.linspace(*self.domain, self.query, dtype=np.float32)
            query_x = np.tile(grid, (len(devices), 1))
            query_y = _heights(curves, query_x)
        else:
            query_x, query_y = self._sampled(
                devices, round_number, curves, self.query, QUERY_STREAMS
            )
        return TaskBatch(
            _column(x), _column(y), _column(query_x), _column(query_y), self._counts(devices)
        )

    def _ranges(self) -> tuple[tuple[str, Range], ...]:
        return (
            ("a", self.amplitude),
            ("b", self.frequency),
            ("c", self.phase),
            ("x", self.domain),
        )

    def _sampled(
        self,
        devices: NDArray[np.int64],
        round_number: int,
        curves: NDArray[np.float64],
        count: int,
        streams: tuple[Stream, Stream],
    ) -> tuple[Floats, NDArray[np.float64]]:
        """Return `count` random points of each curve, `(n, count)`, as the device measures them."""
        part = part_number(self.part)
        places, errors = streams
        low, high = self.domain
        u = uniforms((self.seed, places, part, round_number), devices, count)
        x = (low + (high - low) * u).astype(np.float32)
        y = _heights(curves, x)
        if self.noise > 0.0 and count:
            level = uniforms((self.seed, Stream.SINE_NOISE_LEVEL, part), devices, 1)
            even = count + count % 2
            v = uniforms((self.seed, errors, part, round_number), devices, even)
            y += self.noise * level * normals(v)[:, :count]
        return x, y

    def _counts(self, devices: NDArray[np.int64]) -> NDArray[np.int32]:
        if self.min_support is None:
            return np.full(len(devices), self.support, np.int32)
        u = uniforms((self.seed, Stream.SINE_COUNT, part_number(self.part)), devices, 1)
        return integers(u[:, 0], self.min_support, self.support).astype(np.int32)


def _heights(curves: NDArray[np.float64], x: Floats) -> NDArray[np.float64]:
    a, b, c = curves[:, :1], curves[:, 1:2], curves[:, 2:]
    return np.asarray(a * np.sin(b * x + c))


def _column(values: NDArray[np.float64] | Floats) -> Floats:
    return np.ascontiguousarray(values, np.float32)[..., None]


def tecs2024(seed: int, part: Part = "train", *, support: int = 32, query: int = 0) -> Sine:
    """Return the sines of TECS 2024: a sin(b x + c), x in [-5, 5].

    The paper prints no ranges. a in [0.1, 5] fits its loss before learning, about 4.2: predicting
    0 costs E[a^2] / 2 = 4.25. b in [0.8, 1.2] and c in [0, 2 pi] are our choice; they hold the
    curve that it fine-tunes on (a = 4.04, b = 1, c = 4.8).
    """
    return Sine(seed=seed, part=part, support=support, query=query)


def maml2017(seed: int, part: Part = "train", *, support: int = 10, query: int = 0) -> Sine:
    """Return the sines of MAML 2017, section 5.1: a in [0.1, 5], c in [0, pi], b = 1, 10 points."""
    return Sine(
        seed=seed,
        part=part,
        support=support,
        query=query,
        frequency=(1.0, 1.0),
        phase=(0.0, math.pi),
    )
