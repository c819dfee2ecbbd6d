"""Keywords are read from packs and published archives; what is not whole is refused in one line."""

import io
import tarfile
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tinyfleet.errors import DatasetError
from tinyfleet.mfcc import SCALE, ZERO_POINT, dequantised, mfcc, quantised
from tinyfleet.simulations.datasets.keywords import PACK, KeywordTakes, find_keywords, load_keywords
from tinyfleet.simulations.datasets.speech_commands import ARCHIVES
from tinyfleet.simulations.tasks.keywords import KeywordEpisodes, keywords_family

GOOD: dict[str, Any] = {
    "features": np.arange(6 * 490).reshape(6, 49, 10).astype(np.int8),
    "keyword": np.array([0, 0, 1, 1, 2, 2], np.uint8),
    "keyword_names": np.array(["yes", "no", "up"]),
    "speaker": np.array([1, 2, 1, 2, 1, 2], np.uint8),
    "mfcc_scale": np.float32(SCALE),
    "mfcc_zero_point": np.int16(ZERO_POINT),
}


def pack(path: Path, **changes: Any) -> Path:
    arrays = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    np.savez(path, **arrays)
    return path


def refused(path: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        load_keywords(path, path.parent / "cache")
    message = str(caught.value)
    assert "\n" not in message
    assert path.stem in message
    return message


def sound(number: int, samples: int = 16_000) -> NDArray[np.int16]:
    return np.random.default_rng(number).integers(-9000, 9000, samples).astype(np.int16)


def wav(samples: NDArray[np.int16], rate: int = 16_000) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return content.getvalue()


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_a_pack_gives_back_the_coefficients_of_its_codes(tmp_path: Path) -> None:
    takes = load_keywords(pack(tmp_path / "p.npz"), tmp_path)

    expected = (GOOD["features"].astype(np.float64) - ZERO_POINT) * SCALE
    np.testing.assert_allclose(takes.features, expected, rtol=1e-6)
    assert takes.names == ("yes", "no", "up")
    assert takes.keyword.tolist() == [0, 0, 1, 1, 2, 2]
    assert takes.speaker.tolist() == [1, 2, 1, 2, 1, 2]


def test_the_pack_of_the_data_folder_is_arabic_speech_commands(data_folder: Path) -> None:
    takes = find_keywords(None, {"TINYFLEET_DATA": str(data_folder)})

    assert takes.source == f"Arabic Speech Commands, pack {PACK}"
    said = np.zeros((30, 30), int)
    np.add.at(said, (takes.keyword, takes.speaker - 1), 1)
    assert (said == 10).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": None}, "expected a pack of keywords with `features`, got keyword"),
        (
            {"features": GOOD["features"].astype(np.float32)},
            "int8 of shape (takes, 49, 10), got float32",
        ),
        ({"features": GOOD["features"][:, :48]}, "got int8 of (6, 48, 10)"),
        ({"features": GOOD["features"][:0]}, "features: expected a take or more, got none"),
        ({"keyword": GOOD["keyword"] + 1}, "keyword: expected 0..2, got 1..3"),
        ({"keyword": GOOD["keyword"][:5]}, "keyword: expected a whole number for each of 6"),
        ({"speaker": np.full(6, 0.5)}, "speaker: expected whole numbers, got float64"),
        ({"speaker": -GOOD["speaker"].astype(np.int8)}, "speaker: expected 0.."),
        ({"mfcc_scale": np.ones(2)}, "mfcc_scale: expected one number"),
        ({"mfcc_scale": np.float32(0)}, "mfcc_scale: expected a number above 0, got 0"),
        ({"mfcc_scale": np.float32(np.nan)}, "mfcc_scale: expected a finite float32, got nan"),
        ({"mfcc_scale": np.float64(1e300)}, "mfcc_scale: expected a finite float32, got 1e+300"),
        ({"mfcc_scale": np.float64(3e38)}, "features: expected finite numbers"),
        ({"keyword_names": np.array(["yes"], object)}, "plain arrays"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_a_pack_that_is_not_whole_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    assert message in refused(pack(tmp_path / "p.npz", **changes))


def test_a_pack_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "p.npz")
    path.write_bytes(path.read_bytes()[:-200])
    assert "damaged" in refused(path)
    assert "No such file" in refused(tmp_path / "none.npz")


def test_an_archive_of_googles_layout_gives_the_words_by_their_speakers(tmp_path: Path) -> None:
    files = {
        "./README.md": b"words",
        "./_background_noise_/pink_noise.wav": bytes(1 << 21),
        "./yes/0a7c2a8d_nohash_1.wav": wav(sound(1)),
        "./yes/004ae714_nohash_0.wav": wav(sound(2, 12_000)),
        "./no/0a7c2a8d_nohash_0.wav": wav(sound(3)),
    }
    path = archive(tmp_path / "words.tar.gz", files)

    takes = load_keywords(path, tmp_path / "cache")

    assert takes.names == ("no", "yes")
    assert takes.keyword.tolist() == [0, 1, 1]  # in the order of the files' names
    assert takes.speaker.tolist() == [1, 0, 1]
    heard = np.stack([sound(3), np.pad(sound(2, 12_000), (0, 4000)), sound(1)])
    np.testing.assert_array_equal(takes.features, dequantised(quantised(mfcc(heard))))


def test_an_archive_is_heard_once_and_kept(tmp_path: Path) -> None:
    path = archive(tmp_path / "words.tar.gz", {"yes/00aa_nohash_0.wav": wav(sound(1))})
    cache = tmp_path / "cache"
    one = load_keywords(path, cache)
    (kept,) = cache.iterdir()
    written = kept.stat().st_mtime_ns

    two = load_keywords(path, cache)

    assert kept.stat().st_mtime_ns == written
    assert one.fingerprint == two.fingerprint
    again = archive(tmp_path / "words.tar.gz", {"yes/00aa_nohash_0.wav": wav(sound(2))})
    assert load_keywords(again, cache).fingerprint != one.fingerprint


def test_an_archive_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    files = {f"yes/00aa_nohash_{i}.wav": wav(sound(i)) for i in range(3)}
    path = archive(tmp_path / "words.tar.gz", files)
    path.write_bytes(path.read_bytes()[:-9000])
    assert "cut short" in refused(path)

    archive(path, {"yes/00aa_nohash_0.wav": wav(sound(1), rate=8000)})
    assert "expected 16 bits of one channel at 16000 Hz, got 16 bits of 1 at 8000" in refused(path)
    archive(path, {"yes/00aa_nohash_0.wav": b"RIFF"})
    assert "expected a whole .wav file" in refused(path)
    archive(path, {"yes/00aa_nohash_0.wav": bytes(1 << 21)})
    assert "expected a clip of a second, at most 1048576 bytes, got 2097152" in refused(path)
    archive(path, {"yes.txt": b""})
    assert "expected <word>/<speaker>_nohash_<number>.wav, got none" in refused(path)


def test_a_file_with_a_published_name_must_be_what_was_published(tmp_path: Path) -> None:
    path = archive(tmp_path / ARCHIVES[0].name, {"yes/00aa_nohash_0.wav": wav(sound(1))})

    assert f"cut short: expected {ARCHIVES[0].size} bytes" in refused(path)


def test_googles_clips_have_coefficients_of_the_same_kind(data_folder: Path) -> None:
    takes = find_keywords(data_folder / "gsc_v1_30words_16k.flac", {})
    arabic = find_keywords(None, {"TINYFLEET_DATA": str(data_folder)})

    assert (np.bincount(takes.keyword) == 10).all()
    assert len(takes.names) == 30
    assert len(np.unique(takes.speaker)) == 50
    ours, theirs = (t.features.reshape(-1, 10) for t in (takes, arabic))
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) < 0.5 * theirs.std(axis=0)).all()
    ratio = ours.std(axis=0) / theirs.std(axis=0)
    assert ((ratio > 0.7) & (ratio < 1.3)).all()


def test_a_pack_of_sound_is_a_test_file(data_folder: Path) -> None:
    takes = find_keywords(data_folder / "gsc_v1_30words_16k.flac", {})
    episodes = KeywordEpisodes(shots=1, query_shots=2, across=True)

    family = keywords_family(takes, "test", 0, episodes, whole=True)

    assert family.batch(np.arange(5), 1).query_x.shape == (5, 10, 49, 10, 1)
    assert "30 of 30 keywords by 50 of 50 speakers" in family.provenance


def test_a_pack_of_sound_without_its_index_or_of_another_length_is_refused(
    data_folder: Path, tmp_path: Path
) -> None:
    flac = data_folder / "gsc_v1_30words_16k.flac"
    (tmp_path / "g.flac").write_bytes(flac.read_bytes())
    assert "g_index.npz" in refused(tmp_path / "g.flac")

    with np.load(flac.with_name(f"{flac.stem}_index.npz")) as index:
        arrays = {name: index[name] for name in index}
    np.savez(tmp_path / "g_index.npz", **{**arrays, "clip_samples": np.int32(15_000)})
    assert "expected 300 clips of 15000 samples" in refused(tmp_path / "g.flac")
    np.savez(tmp_path / "g_index.npz", **{**arrays, "clip_samples": np.zeros(0, np.int32)})
    assert "expected 300 clips of 0 samples" in refused(tmp_path / "g.flac")
    np.savez(tmp_path / "g_index.npz", **{**arrays, "label": np.full(300, 0.5)})
    assert "label: expected whole numbers, got float64" in refused(tmp_path / "g.flac")
    np.savez(tmp_path / "g_index.npz", **arrays)
    (tmp_path / "g.flac").write_bytes(b"fLaC")
    assert "expected a whole .flac file" in refused(tmp_path / "g.flac")


def test_without_data_one_line_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"--data speech_commands_v0\.01\.tar\.gz fetches 1\.5"):
        find_keywords(None, {"XDG_CACHE_HOME": str(tmp_path)})
    with pytest.raises(DatasetError, match="TINYFLEET_DATA: expected a folder"):
        find_keywords(None, {"TINYFLEET_DATA": str(tmp_path / "none")})
    absent = tmp_path / ARCHIVES[0].name
    with pytest.raises(DatasetError, match="no such file; fetch it from http"):
        find_keywords(absent, {"XDG_CACHE_HOME": str(tmp_path)})


def test_a_fingerprint_tells_takes_apart_and_not_where_they_are_from() -> None:
    features = np.zeros((2, 49, 10), np.float32)
    zero, one = np.zeros(2, np.int64), np.array([0, 1])

    prints = {
        KeywordTakes(features, keyword, speaker, names, "here").fingerprint
        for keyword in (zero, one)
        for speaker in (zero, one)
        for names in (("a", "b"), ("a", "c"))
    }

    assert len(prints) == 8
    assert KeywordTakes(features, zero, one, ("a", "b"), "elsewhere").fingerprint in prints
