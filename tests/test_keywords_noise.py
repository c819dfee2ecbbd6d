"""Rooms in coefficients do what rooms do to sound: shift, level, and noise, on recorded speech."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tinyfleet.client.sound import read_sound
from tinyfleet.errors import DatasetError
from tinyfleet.mfcc import DEVIATION, Floats, dequantised, mfcc, quantised
from tinyfleet.simulations.tasks.noise import Room, WhiteNoise, louder, noisy, shifted, with_noise

Doubles = NDArray[np.float64]


@pytest.fixture(scope="module")
def clips(data_folder: Path) -> Doubles:
    """A third of the clips of Google Speech Commands: words of all kinds."""
    sound = read_sound(data_folder / "gsc_v1_30words_16k.flac")
    return sound.reshape(-1, 16_000)[::3].astype(np.float64)


def in_sound(clips: Doubles, snr: float, seed: int) -> Floats:
    z = np.random.default_rng(seed).normal(size=clips.shape)
    return mfcc(with_noise(clips, WhiteNoise(snr).ratio, z))


def in_coefficients(clips: Doubles, snr: float) -> Floats:
    """The shortcut, from the codes that a pack holds."""
    z = np.random.default_rng(2).normal(size=(len(clips), 49, 40))
    heard = dequantised(quantised(mfcc(clips)))
    return noisy(heard, np.full(len(clips), WhiteNoise(snr).ratio), z)


def error(one: Floats, other: Floats) -> Doubles:
    """Root mean square of the difference of each coefficient, in its standard deviations."""
    return np.asarray(np.sqrt(((one - other) ** 2).mean(axis=(0, 1))) / DEVIATION)


def test_noise_in_the_sound_has_the_power_that_was_asked_for(clips: Doubles) -> None:
    z = np.random.default_rng(1).normal(size=clips.shape)

    noise = with_noise(clips, WhiteNoise(10.0).ratio, z) - clips

    snr = 10 * np.log10((clips**2).mean(axis=1) / (noise**2).mean(axis=1))
    np.testing.assert_allclose(snr, 10.0, atol=0.2)


@pytest.mark.parametrize("snr", [10.0, 0.0])
def test_noise_in_coefficients_is_as_near_to_real_noise_as_other_real_noise(
    clips: Doubles, snr: float
) -> None:
    real, again, clean = in_sound(clips, snr, 0), in_sound(clips, snr, 1), mfcc(clips)

    shortcut = in_coefficients(clips, snr)

    floor, without = error(again, real), error(clean, real)
    assert (error(shortcut, real)[1:] < 1.15 * floor[1:]).all()
    assert error(shortcut, real)[0] < 0.15  # the level; two real noises differ by 0.05
    assert (error(shortcut, real) < 0.85 * without).all()
    bias = (shortcut - real).mean(axis=(0, 1)) / DEVIATION
    assert np.abs(bias).max() < 0.13
    spread = shortcut.std(axis=(0, 1)) / real.std(axis=(0, 1))
    np.testing.assert_allclose(spread, 1.0, atol=0.25)


def test_noise_in_coefficients_follows_the_frames_of_real_noise(clips: Doubles) -> None:
    real, shortcut = in_sound(clips, 10.0, 0), in_coefficients(clips, 10.0)

    alike = [np.corrcoef(shortcut[..., c].ravel(), real[..., c].ravel())[0, 1] for c in range(10)]

    assert min(alike[:2]) > 0.93
    assert min(alike) > 0.55  # two real noises: 0.62


def test_louder_moves_the_level_by_as_many_decibels(clips: Doubles) -> None:
    coefficients = mfcc(clips[:5])

    moved = louder(coefficients, np.full(5, 6.0)) - coefficients

    # 40 bands, each log(10) * 6 / 20 up, in a DCT-II over sqrt(80)
    np.testing.assert_allclose(moved[..., 0], 40 * np.log(10) * 0.3 * 2 / np.sqrt(80), atol=0.05)
    np.testing.assert_allclose(moved[..., 1:], 0.0, atol=0.05)


def test_shifted_takes_begin_later_or_earlier_and_repeat_their_edges() -> None:
    takes = np.arange(49, dtype=np.float32)[None, :, None].repeat(3, 0).repeat(10, 2)

    moved = shifted(takes, np.array([2, 0, -3]))[..., 0]

    assert moved[0, :4].tolist() == [0.0, 0.0, 0.0, 1.0]
    assert moved[1].tolist() == list(range(49))
    assert moved[2, -5:].tolist() == [47.0, 48.0, 48.0, 48.0, 48.0]


@pytest.mark.parametrize("bounds", [{"shift": 49}, {"gain": -1.0}, {"noise": float("nan")}])
def test_a_room_that_cannot_be_is_refused(bounds: dict[str, float]) -> None:
    (name,) = bounds
    with pytest.raises(DatasetError, match=rf"room\.{name}: expected at least 0"):
        Room(**bounds)  # type: ignore[arg-type]


def test_noise_of_no_finite_power_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"drift\.snr: expected a finite number"):
        WhiteNoise(float("inf"))
