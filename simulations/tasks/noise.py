"""What rooms and microphones do to coefficients of sound: shift, level, and white noise.

Coefficients give the envelope of the mel bands back, and so the power of the sound in each; noise
is added there by its own power, and the coefficients are made anew. `tests/test_keywords_noise.py`
compares this with noise in the sound itself, on recorded speech.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import DatasetError
from tinyfleet.mfcc import (
    FLOOR,
    FOURIER,
    FRAMES,
    MELS,
    Doubles,
    cepstra,
    mel_bands,
    smooth_log_bands,
    window,
)
from tinyfleet.task import Floats

DRAWS = FRAMES * MELS  # normal numbers that a noisy take needs

# Power of a take over what its bands' envelope shows: the envelope ends at 4 kHz and has no peaks.
# The median of 300 clips of Google Speech Commands.
HIDDEN = 2.2


@dataclass(frozen=True)
class WhiteNoise:
    """Noise that all devices hear; the default is the drift of TECS 2024, application II.

    Attributes:
        snr: power of the sound over that of the noise, in dB.

    Raises:
        DatasetError: it is not finite.
    """

    snr: float = 10.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.snr):
            raise DatasetError(f"drift.snr: expected a finite number of dB, got {self.snr}")

    @property
    def ratio(self) -> float:
        """Amplitude of the noise over that of the sound."""
        return float(10.0 ** (-self.snr / 20.0))


@dataclass(frozen=True)
class Room:
    """How far devices' rooms and microphones differ; each device has its own, for all it hears.

    Attributes:
        shift: most that a device begins early or late, in frames of 20 ms; frames at the edge
            repeat.
        gain: most that a device's sound is louder or softer, in dB. The front end divides by the
            largest sample, so this is how far that sample rises above the rest.
        noise: largest amplitude of white noise over that of the sound; each device's own is
            uniform in 0..noise.

    Raises:
        DatasetError: a bound is negative or not finite, or a shift is a clip or more.
    """

    shift: int = 0
    gain: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        for name, value, most in (
            ("shift", self.shift, FRAMES),
            ("gain", self.gain, math.inf),
            ("noise", self.noise, math.inf),
        ):
            if not 0 <= value < most:
                raise DatasetError(
                    f"room.{name}: expected at least 0 and below {most}, got {value}"
                )


def shifted(features: Floats, frames: NDArray[np.int64]) -> Floats:
    """Return takes `(n, 49, 10)` that begin `frames` later, `(n,)`; frames at the edge repeat."""
    places = np.clip(np.arange(FRAMES) - frames[:, None], 0, FRAMES - 1)
    return np.asarray(np.take_along_axis(features, places[..., None], axis=1))


def louder(features: Floats, decibels: Doubles) -> Floats:
    """Return takes `(n, 49, 10)` that are louder by `decibels`, `(n,)`; digital silence stays."""
    bands = _bands(features) * 10.0 ** (decibels[:, None, None] / 20.0)
    return np.asarray(cepstra(np.log(bands + FLOOR)), np.float32)


def noisy(features: Floats, ratio: Doubles, z: Doubles) -> Floats:
    """Return the coefficients of takes in white noise.

    In each band and frame the power of the noise is that of white noise on average, and fluctuates
    as chi-square with as many degrees of freedom as the band has independent frequencies, alike in
    bands that overlap.

    Args:
        features: coefficients without noise, `(n, 49, 10)`.
        ratio: amplitude of the noise over that of the take's sound, `(n,)`.
        z: standard normal numbers that place the noise, `(n, 49, 40)`.
    """
    expected, freedom, mixing = _white()
    sound = _bands(features)
    total = (sound * sound / mel_bands().sum(axis=0)).sum(axis=2).mean(axis=1)
    variance = HIDDEN * 2.0 * total / (FOURIER * (window() ** 2).sum())  # of a sample, (n,)
    # a chi-square number over its degrees of freedom from a normal one (Wilson & Hilferty 1931)
    spread = 2.0 / (9.0 * freedom)
    root = np.maximum(1.0 - spread + z @ mixing * np.sqrt(spread), 0.0)
    noise = (ratio * ratio * variance)[:, None, None] * expected * (root * root * root)
    return np.asarray(cepstra(np.log(np.sqrt(sound * sound + noise) + FLOOR)), np.float32)


def with_noise(clips: Doubles, ratio: float, z: Doubles) -> Doubles:
    """Return sound in white noise, both `(n, samples)`: what `noisy` stands for.

    Args:
        clips: the sound.
        ratio: amplitude of the noise over that of each clip.
        z: standard normal numbers, as many as samples.
    """
    return np.asarray(clips + ratio * np.sqrt((clips**2).mean(axis=1, keepdims=True)) * z)


def _bands(features: Floats) -> Doubles:
    """Return the magnitudes of the bands' envelope, `(n, 49, 40)`."""
    return np.asarray(np.maximum(np.exp(smooth_log_bands(features)) - FLOOR, 0.0))


@cache
def _white() -> tuple[Doubles, Doubles, Doubles]:
    """Return what white noise of unit variance is in the bands.

    Mean square of each band's magnitude `(40,)`, its degrees of freedom `(40,)`, and what mixes
    independent numbers to ones that are as alike as the bands are, `(40, 40)`.
    """
    bands, shape = mel_bands(), window()
    weight, power = bands.sum(axis=0), float((shape**2).sum())
    places = np.arange(len(bands))
    leak = np.abs(np.fft.fft(shape**2, FOURIER))[np.abs(places[:, None] - places)] / power
    covariance = bands.T @ (leak * leak) @ bands
    own = np.diag(covariance)
    freedom = 2.0 * weight**2 / own
    # a magnitude's mean is sqrt(pi / 4) of its root mean square; averaging leaves 1 / (2 freedom)
    expected = math.pi / 4 * (1.0 + 0.5 / freedom) * power * weight**2
    mixing = np.linalg.cholesky(covariance / np.sqrt(np.outer(own, own))).T
    return expected, freedom, mixing
