"""The audio front end of keyword spotting: one second of sound becomes 49 frames of 10 numbers.

It is that of MLPerf Tiny (Banbury et al. 2021, keyword spotting): a clip at 16 kHz is divided by
its largest sample; frames of 480 samples every 320 under a periodic Hann window; magnitudes of a
512-point Fourier transform; 40 triangles on the HTK mel scale from 20 to 4000 Hz; log(x + 1e-6);
DCT-II / sqrt(80), of which the first 10 coefficients stay. A model takes them as int8 codes,
`trunc(x / SCALE + ZERO_POINT)`.

All is computed in float64, so that a clip gives the same codes on every machine; what is returned
is float32 or int8.
"""

from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import DatasetError

Floats = NDArray[np.float32]
Codes = NDArray[np.int8]
Doubles = NDArray[np.float64]

RATE = 16_000  # samples a second
CLIP = 16_000  # samples of a clip
WINDOW, HOP, FOURIER = 480, 320, 512  # samples: a frame, from frame to frame, a transform
FRAMES = 1 + (CLIP - WINDOW) // HOP
MELS, LOW, HIGH = 40, 20.0, 4000.0  # bands, and where they begin and end, in Hz
COEFFICIENTS = 10
FLOOR = 1e-6  # added to a band's magnitude before the logarithm
SCALE, ZERO_POINT = 0.5847029, 83  # of the codes

# Of each coefficient in the training part of Arabic Speech Commands, for `standardised`.
MEAN = np.array(
    [-13.7788, 3.1327, 0.0783, -0.8104, -0.6012, -0.6723, -0.7577, -0.6324, -0.9042, -0.8179],
    np.float32,
)
DEVIATION = np.array(
    [17.9296, 4.7121, 3.3596, 2.2702, 2.3070, 1.6882, 1.5062, 1.4239, 1.4319, 1.1484],
    np.float32,
)


def mfcc(clips: NDArray[np.generic]) -> Floats:
    """Return the coefficients of clips, `(n, 49, 10)` float32.

    Args:
        clips: sound at 16 kHz, `(n, samples)` of any real type and unit; what lacks of 16,000
            samples is filled with zeros, what is more is cut off.

    Raises:
        DatasetError: another shape, or samples that are not finite.
    """
    if clips.ndim != 2 or clips.dtype.kind not in "fiu":
        raise DatasetError(
            f"clips: expected numbers of shape (clips, samples), got {clips.dtype} of {clips.shape}"
        )
    sound = np.zeros((len(clips), CLIP))
    sound[:, : clips.shape[1]] = clips[:, :CLIP]
    if not np.isfinite(sound).all():
        raise DatasetError("clips: expected finite samples, got NaN or infinity")
    return np.asarray(cepstra(log_mel(sound)), np.float32)


def log_mel(clips: Doubles) -> Doubles:
    """Return the log magnitudes of the mel bands of whole clips, `(n, 49, 40)`.

    A clip is divided by its largest sample, not by its largest deflection, as MLPerf Tiny does;
    one that never rises above zero is left as it is.
    """
    peak = clips.max(axis=1, keepdims=True)
    level = clips / np.where(peak > 0.0, peak, 1.0)
    frames = np.lib.stride_tricks.sliding_window_view(level, WINDOW, axis=1)[:, ::HOP]
    spectrum = np.abs(np.fft.rfft(frames * window(), FOURIER, axis=2))
    return np.asarray(np.log(spectrum @ mel_bands() + FLOOR))


def cepstra(log_bands: Doubles) -> Doubles:
    """Return the first 10 coefficients of log magnitudes, `(..., 40)` to `(..., 10)`."""
    return np.asarray(log_bands @ _cosines())


def smooth_log_bands(coefficients: NDArray[np.floating]) -> Doubles:
    """Return log magnitudes that have these coefficients, `(..., 10)` to `(..., 40)`.

    They are the bands' envelope: of all that have these coefficients, those with no others.
    """
    cosines = _cosines()
    return np.asarray(coefficients @ (cosines / (cosines * cosines).sum(axis=0)).T)


def quantised(coefficients: NDArray[np.floating]) -> Codes:
    """Return the codes of coefficients, same shape, int8: trunc(x / 0.5847029 + 83), clipped."""
    codes = np.trunc(np.asarray(coefficients, np.float64) / SCALE + ZERO_POINT)
    return np.clip(codes, -128, 127).astype(np.int8)


def dequantised(codes: Codes) -> Floats:
    """Return the coefficients that codes stand for, same shape, float32."""
    return (codes.astype(np.float32) - np.float32(ZERO_POINT)) * np.float32(SCALE)


def standardised(coefficients: Floats) -> Floats:
    """Return coefficients less `MEAN`, over `DEVIATION`, of about unit scale; same shape."""
    return (coefficients - MEAN) / DEVIATION


def spoken(blocks: Iterable[NDArray[np.generic]], step: int = CLIP) -> Iterator[Floats]:
    """Yield the coefficients of each second of a stream of sound, `(49, 10)` float32.

    Args:
        blocks: sound at 16 kHz as it comes, `(samples,)` each, of any length.
        step: samples from the start of one second to that of the next. What is left at the end of
            the stream is no second, and is dropped.

    Raises:
        DatasetError: a step below 1, or samples that are no finite numbers.
    """
    if step < 1:
        raise DatasetError(f"step: expected at least 1 sample, got {step}")
    held = np.zeros(0)
    skip = 0  # samples until the next second begins
    for block in blocks:
        held = np.concatenate([held, np.asarray(block, np.float64).ravel()])
        while len(held) >= skip + CLIP:
            yield mfcc(held[None, skip : skip + CLIP])[0]
            held, skip = held[skip:], step
        passed = min(skip, len(held))
        held, skip = held[passed:], skip - passed


@cache
def mel_bands() -> Doubles:
    """Return the weight of each of 257 frequencies in each of 40 bands, `(257, 40)`.

    Triangles are straight in mel, not in Hz, and frequency 0 has no weight, as in TensorFlow's
    `linear_to_mel_weight_matrix`, which MLPerf Tiny uses.
    """
    places = _mel(np.linspace(0.0, RATE / 2, FOURIER // 2 + 1))[:, None]
    corners = np.linspace(_mel(np.array(LOW)), _mel(np.array(HIGH)), MELS + 2)
    low, middle, high = corners[:-2], corners[1:-1], corners[2:]
    weights = np.minimum((places - low) / (middle - low), (high - places) / (high - middle))
    weights[0] = 0.0
    return np.asarray(np.maximum(weights, 0.0))


def _mel(hertz: Doubles) -> Doubles:
    return np.asarray(1127.0 * np.log1p(hertz / 700.0))


@cache
def window() -> Doubles:
    """Return a periodic Hann window, `(480,)`."""
    return np.asarray(0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW) / WINDOW))


@cache
def _cosines() -> Doubles:
    """Return the DCT-II of 40 bands, divided by sqrt(80), first 10 coefficients, `(40, 10)`."""
    angles = np.pi * (np.arange(MELS)[:, None] + 0.5) * np.arange(COEFFICIENTS) / MELS
    return np.asarray(2.0 * np.cos(angles) / np.sqrt(2.0 * MELS))
