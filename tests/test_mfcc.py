"""The front end computes what MLPerf Tiny's does, from clips and from sound as it comes."""

import itertools
import math
import wave
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import scipy.signal
from numpy.typing import NDArray

from tinyfleet.client.sound import pcm_blocks, read_sound
from tinyfleet.client.stream import AudioIn, load_recordings
from tinyfleet.errors import DatasetError
from tinyfleet.mfcc import (
    DEVIATION,
    MEAN,
    SCALE,
    ZERO_POINT,
    cepstra,
    dequantised,
    log_mel,
    mel_bands,
    mfcc,
    quantised,
    smooth_log_bands,
    spoken,
    standardised,
)


def noise(*shape: int) -> NDArray[np.int16]:
    return np.random.default_rng(5).integers(-9000, 9000, shape).astype(np.int16)


def chirp(seconds: float = 1.0) -> NDArray[np.int16]:
    """A sound that rises through all bands and fades."""
    t = np.arange(round(16_000 * seconds)) / 16_000
    heard = scipy.signal.chirp(t, 100.0, seconds, 5000.0) * np.exp(-t)
    return np.asarray(
        np.rint(12_000 * heard + np.random.default_rng(5).normal(0, 20, len(t))), np.int16
    )


def by_the_book(clip: NDArray[np.int16]) -> NDArray[np.float64]:
    """Coefficients of one clip from the description, with SciPy's transforms and plain loops."""
    level = clip.astype(np.float64) / clip.max()
    hann = scipy.signal.get_window("hann", 480, fftbins=True)
    frames = np.array([level[i * 320 : i * 320 + 480] * hann for i in range(49)])
    magnitudes = np.abs(scipy.fft.fft(frames, 512, axis=1)[:, :257])

    def mel(hertz: float) -> float:
        return 2595.0 * math.log10(1.0 + hertz / 700.0)

    edges = [mel(20.0) + i * (mel(4000.0) - mel(20.0)) / 41 for i in range(42)]
    bands = np.zeros((257, 40))
    for k in range(1, 257):
        place = mel(k * 16_000 / 512)
        for b in range(40):
            rise = (place - edges[b]) / (edges[b + 1] - edges[b])
            fall = (edges[b + 2] - place) / (edges[b + 2] - edges[b + 1])
            bands[k, b] = max(0.0, min(rise, fall))
    logs = np.log(magnitudes @ bands + 1e-6)
    return np.asarray(scipy.fft.dct(logs, type=2, axis=1)[:, :10] / math.sqrt(80))


def test_coefficients_are_those_of_the_description() -> None:
    for clip in (chirp(), noise(16_000)):
        np.testing.assert_allclose(mfcc(clip[None])[0], by_the_book(clip), rtol=1e-5, atol=1e-4)


def test_codes_are_truncated_towards_zero_and_clipped() -> None:
    values = np.array([0.0, 0.58, -0.58, 25.73, 30.0, -66.656, -1000.0])

    codes = quantised(values)

    assert codes.dtype == np.int8
    # -66.656 / 0.5847029 + 83 = -30.99..., and truncation goes up there
    assert codes.tolist() == [83, 83, 82, 127, 127, -30, -128]
    assert dequantised(np.array([83, 84], np.int8)).tolist() == pytest.approx([0.0, SCALE])


def test_digital_silence_has_the_floor_alone() -> None:
    silence = mfcc(np.zeros((1, 16_000), np.int16))[0]

    expected = 40 * math.log(1e-6) * 2 / math.sqrt(80)
    np.testing.assert_allclose(silence[:, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(silence[:, 1:], 0.0, atol=1e-4)


def test_a_tone_is_loudest_in_the_band_that_holds_it() -> None:
    for hertz in (250.0, 1000.0, 3000.0):
        tone = np.sin(2 * np.pi * hertz * np.arange(16_000) / 16_000)

        loudest = log_mel(tone[None])[0].mean(axis=0).argmax()

        weights = mel_bands()[round(hertz * 512 / 16_000)]
        assert loudest == weights.argmax()


def test_loudness_does_not_matter_and_short_clips_end_in_silence() -> None:
    clip = chirp(0.6)

    one, louder = mfcc(clip[None]), mfcc(clip[None].astype(np.int32) * 2)
    padded = mfcc(np.pad(clip, (0, 6400))[None])

    np.testing.assert_array_equal(one, louder)
    np.testing.assert_array_equal(one, padded)


def test_a_clip_has_the_same_bytes_alone_and_among_others() -> None:
    clips = noise(37, 16_000)

    every = mfcc(clips)

    for i in (0, 7, 36):
        assert mfcc(clips[i : i + 1]).tobytes() == every[i : i + 1].tobytes()


def test_smooth_bands_have_the_same_coefficients() -> None:
    coefficients = mfcc(chirp()[None])

    np.testing.assert_allclose(cepstra(smooth_log_bands(coefficients)), coefficients, atol=1e-5)


@pytest.mark.parametrize("sizes", [(1,), (7, 320, 15_999), (40_000,), (100_000,)])
@pytest.mark.parametrize("step", [8_000, 16_000, 25_000])
def test_sound_gives_the_same_seconds_however_it_comes(sizes: tuple[int, ...], step: int) -> None:
    sound = np.concatenate([chirp(2.2), chirp(1.9)])
    blocks = []
    at = 0
    for size in itertools.cycle(sizes if sizes != (1,) else (1, 4097)):
        if at >= len(sound):
            break
        blocks.append(sound[at : at + size])
        at += size

    seconds = list(spoken(blocks, step))

    starts = range(0, len(sound) - 16_000 + 1, step)
    whole = mfcc(np.stack([sound[i : i + 16_000] for i in starts]))
    np.testing.assert_array_equal(np.stack(seconds), whole)


def test_a_gateway_hears_a_microphone_and_a_file_alike(tmp_path: Path) -> None:
    sound = chirp(3.5)
    with wave.open(str(tmp_path / "s.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(sound.astype("<i2").tobytes())
    (tmp_path / "s.raw").write_bytes(sound.astype("<i2").tobytes())

    recorded = load_recordings(tmp_path / "s.wav", (49, 10, 1))[0]
    with (tmp_path / "s.raw").open("rb") as raw:
        heard = list(AudioIn(pcm_blocks(raw)))

    assert recorded.labels == (None, None, None)
    np.testing.assert_array_equal(np.stack([s.x for s in heard])[..., None], recorded.x)


def test_sound_of_another_form_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 44_100, 0, "NONE", ""))
        file.writeframes(bytes(4000))

    with pytest.raises(DatasetError, match=r"s\.wav: expected 16 bits of one channel at 16000 Hz"):
        read_sound(path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DatasetError, match=r"s\.wav: expected a whole \.wav file"):
        read_sound(path)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(4000))
    with pytest.raises(DatasetError, match="expected a second of sound or more, 16000 samples"):
        load_recordings(path, (49, 10, 1))
    whole = path.read_bytes()
    path.write_bytes(whole[:18] + b"\x01" + whole[19:])  # a part that is too long
    with pytest.raises(DatasetError, match=r"s\.wav: expected a whole \.wav file"):
        read_sound(path)
    path.write_bytes(whole[:-1001])
    with pytest.raises(DatasetError, match=r"whole \.wav file of 2000 samples, .* got 1499"):
        read_sound(path)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_sound(tmp_path / "none.wav")


def test_what_is_no_sound_is_refused() -> None:
    with pytest.raises(DatasetError, match="clips: expected numbers of shape"):
        mfcc(np.zeros(16_000))
    with pytest.raises(DatasetError, match="clips: expected finite samples"):
        mfcc(np.full((1, 16_000), np.nan))


def test_standardised_coefficients_have_about_unit_scale(data_folder: Path) -> None:
    with np.load(data_folder / "keywords_mfcc49x10.npz") as pack:
        coefficients = dequantised(pack["features"])
        assert float(pack["mfcc_scale"]) == pytest.approx(SCALE)
        assert int(pack["mfcc_zero_point"]) == ZERO_POINT

    x = standardised(coefficients)

    np.testing.assert_allclose(x.mean(axis=(0, 1)), 0.0, atol=0.1)
    np.testing.assert_allclose(x.std(axis=(0, 1)), 1.0, atol=0.1)
    np.testing.assert_allclose(x * DEVIATION + MEAN, coefficients, atol=1e-4)
