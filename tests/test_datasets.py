"""Readers take what was published and refuse, in one line, what is not whole."""

import dataclasses
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tinyfleet.errors import DatasetError
from tinyfleet.simulations.datasets.archive import Archive, cache_folder, fetch, verify
from tinyfleet.simulations.datasets.characters import PACK, find_characters
from tinyfleet.simulations.datasets.digits import load_digits
from tinyfleet.simulations.datasets.omniglot import BACKGROUND, SMALL_1, load_characters

GOOD: dict[str, Any] = {
    "images": np.zeros((6, 4, 28, 28), np.uint8),
    "alphabet": np.array([0, 0, 0, 1, 1, 1], np.uint8),
    "alphabet_names": np.array(["Greek", "Latin"]),
}


def refused(path: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        load_characters(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message or path.name in message
    return message


def pack(path: Path, **changes: Any) -> Path:
    arrays = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    np.savez(path, **arrays)
    return path


def scan(size: int = 105) -> bytes:
    stream = io.BytesIO()
    Image.new("1", (size, size), 1).save(stream, "PNG")
    return stream.getvalue()


def archive(path: Path, names: list[str], content: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, content)
    return path


def scans(characters: int, drawers: int) -> list[str]:
    return [
        f"made/Greek/character{c:02d}/{c:04d}_{d:02d}.png"
        for c in range(1, characters + 1)
        for d in range(1, drawers + 1)
    ]


@pytest.fixture
def small(data_folder: Path) -> Path:
    return data_folder / SMALL_1.name


def test_the_authors_archive_gives_the_pixels_of_the_pack(data_folder: Path, small: Path) -> None:
    ours, packed = load_characters(small), load_characters(data_folder / PACK)

    assert ours.images.shape == (136, 20, 28, 28)
    assert len(set(ours.alphabets)) == 5
    for alphabet in set(ours.alphabets):
        mine = ours.images[[name == alphabet for name in ours.alphabets]]
        theirs = packed.images[[name == alphabet for name in packed.alphabets]]
        np.testing.assert_array_equal(mine, theirs, err_msg=alphabet)


def test_the_pack_holds_30_alphabets(data_folder: Path) -> None:
    characters = load_characters(data_folder / PACK)

    assert (len(characters), characters.drawers) == (964, 20)
    assert len(set(characters.alphabets)) == 30
    assert characters.alphabets[0] == "Arcadian"
    assert PACK in characters.source


def test_a_cut_archive_is_refused(tmp_path: Path, small: Path) -> None:
    whole = small.read_bytes()
    cut = tmp_path / "mine.zip"
    cut.write_bytes(whole[: len(whole) // 2])

    assert "cut short" in refused(cut)


def test_a_cut_archive_with_a_published_name_is_refused(tmp_path: Path, small: Path) -> None:
    cut = tmp_path / SMALL_1.name
    cut.write_bytes(small.read_bytes()[:1000])

    assert "cut short: expected 1319022 bytes, got 1000" in refused(cut)


def test_a_changed_byte_is_noticed_by_the_published_checksum(tmp_path: Path, small: Path) -> None:
    changed = bytearray(small.read_bytes())
    changed[500_000] ^= 1
    copy = tmp_path / SMALL_1.name
    copy.write_bytes(changed)

    assert f"expected SHA-256 {SMALL_1.sha256}, got" in refused(copy)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_changed_byte_is_noticed_by_the_archives_own_checksum(
    tmp_path: Path, compression: int
) -> None:
    path = tmp_path / "made.zip"
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr(scans(1, 1)[0], scan())
    with zipfile.ZipFile(path) as file:
        start = file.infolist()[0].header_offset + 30 + len(scans(1, 1)[0])
    changed = bytearray(path.read_bytes())
    changed[start + 40] ^= 0xFF
    path.write_bytes(changed)

    assert "damaged" in refused(path)


def test_a_cut_pack_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "pack.npz")
    path.write_bytes(path.read_bytes()[:-100])

    assert "cut short" in refused(path)


def test_a_changed_byte_in_a_pack_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "pack.npz")
    changed = bytearray(path.read_bytes())
    changed[2000] ^= 1  # within the pixels
    path.write_bytes(changed)

    assert "CRC" in refused(path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"images": None}, "expected an array `images`, got alphabet, alphabet_names"),
        ({"images": np.zeros((6, 4, 27, 28), np.uint8)}, r"got \(6, 4, 27, 28\)"),
        ({"images": np.zeros((0, 4, 28, 28), np.uint8)}, r"got \(0, 4, 28, 28\)"),
        ({"images": np.zeros(3, np.uint8)}, r"got \(3,\)"),
        ({"images": np.zeros((6, 4, 28, 28), np.float32)}, "expected uint8.*got float32$"),
        ({"images": np.full((6, 4, 28, 28), np.nan)}, "got float64 holding NaN"),
        ({"images": np.full((6, 4), None)}, "images: not an array that can be read"),
        ({"alphabet": np.zeros(5, np.uint8)}, "one for each of 6 classes, got 5"),
        ({"alphabet": np.full(6, 2, np.uint8)}, r"expected integers in 0\.\.1"),
        ({"alphabet": np.full(6, -1)}, "expected integers"),
    ],
)
def test_a_pack_of_something_else_is_refused(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    path = pack(tmp_path / "pack.npz", **changes)

    with pytest.raises(DatasetError, match=told):
        load_characters(path)
    refused(path)


def test_a_pack_may_leave_out_its_alphabets(tmp_path: Path) -> None:
    path = pack(tmp_path / "pack.npz", alphabet=None, alphabet_names=None)

    assert load_characters(path).alphabets == ("unknown",) * 6


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: path, "No such file"),
        (lambda path: path.mkdir(), "directory"),
        (lambda path: path.write_text("hello"), "not a zip"),
        (lambda path: path.write_bytes(b""), "not a zip"),
        (lambda path: archive(path, ["readme.txt"], b""), "expected .png images or an array"),
        (lambda path: archive(path, ["a.png"], scan()), "<number>_<drawer>.png"),
        (lambda path: archive(path, scans(2, 3)[:-1], scan()), "0002 of Greek: expected 3 drawers"),
        (lambda path: archive(path, scans(2, 3), scan(28)), "expected 105x105 pixels"),
        (lambda path: archive(path, scans(2, 3), b"no image"), "not a PNG image"),
        (lambda path: archive(path, scans(2, 3), scan()[:60]), "damaged image"),
    ],
)
def test_a_file_that_is_no_archive_of_characters_is_refused(
    tmp_path: Path, make: Callable[[Path], object], told: str
) -> None:
    path = tmp_path / "characters.zip"
    make(path)

    assert told in refused(path)


def test_what_file_managers_leave_behind_is_passed_over(tmp_path: Path) -> None:
    names = [*scans(2, 3), "__MACOSX/made/Greek/character01/._0001_01.png", "made/.DS_Store"]

    assert load_characters(archive(tmp_path / "mac.zip", names, scan())).images.shape[:2] == (2, 3)


def published(path: Path, **changes: Any) -> Archive:
    """Describe the file at `path` as if it were published there under the small archive's name."""
    return dataclasses.replace(SMALL_1, url=path.as_uri(), **changes)


def test_a_fetched_archive_is_whole_and_alone_in_the_cache(tmp_path: Path, small: Path) -> None:
    path = fetch(published(small), tmp_path / "cache")

    assert path.read_bytes() == small.read_bytes()
    assert list((tmp_path / "cache").iterdir()) == [path]


def test_a_second_fetch_needs_no_network(tmp_path: Path, small: Path) -> None:
    fetch(published(small), tmp_path)

    again = fetch(published(tmp_path / "nowhere.zip"), tmp_path)

    verify(again, SMALL_1)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sha256": "0" * 64}, "expected SHA-256 0000"),
        ({"size": 99}, "too long: expected 99 bytes"),
        ({"size": 10**7}, "cut short: expected 10000000 bytes"),
    ],
)
def test_other_bytes_than_published_never_reach_the_cache(
    tmp_path: Path, small: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(DatasetError, match=told):
        fetch(published(small, **changes), tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_an_address_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot be downloaded: .*No such file") as caught:
        fetch(published(tmp_path / "nowhere.zip"), tmp_path / "cache")

    assert "\n" not in str(caught.value)


def test_the_cache_follows_the_users_wish() -> None:
    assert cache_folder({"XDG_CACHE_HOME": "/somewhere"}) == Path("/somewhere/tinyfleet")
    assert cache_folder({}) == Path.home() / ".cache" / "tinyfleet"


def test_a_named_file_is_taken_before_the_data_folder(tmp_path: Path, data_folder: Path) -> None:
    mine = pack(tmp_path / "mine.npz")

    found = find_characters(mine, {"TINYFLEET_DATA": str(data_folder)})

    assert (len(found), found.source) == (6, "Omniglot pack mine.npz")


def test_the_data_folder_is_taken_before_digits(data_folder: Path) -> None:
    assert len(find_characters(None, {"TINYFLEET_DATA": str(data_folder)})) == 964


def test_a_data_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="TINYFLEET_DATA: expected a folder"):
        find_characters(None, {"TINYFLEET_DATA": str(tmp_path / "gone")})


def test_a_damaged_archive_in_the_cache_is_refused(tmp_path: Path) -> None:
    cache = cache_folder({"XDG_CACHE_HOME": str(tmp_path)})
    cache.mkdir()
    (cache / BACKGROUND.name).write_bytes(b"half")

    with pytest.raises(DatasetError, match="cut short"):
        find_characters(None, {"XDG_CACHE_HOME": str(tmp_path)})


def test_digits_stand_in_and_say_why(tmp_path: Path) -> None:
    found = find_characters(None, {"XDG_CACHE_HOME": str(tmp_path)})

    assert found.source.startswith("scikit-learn's digits, 10 classes x 174 images of 8x8; no ")
    assert f"no {BACKGROUND.name} in {tmp_path}" in found.source
    assert list(tmp_path.iterdir()) == []


def test_digits_are_dark_ink_on_paper_of_ten_classes() -> None:
    digits = load_digits()

    assert digits.images.shape == (10, 174, 28, 28)
    corner = digits.images[:, :, :2, :2].mean()
    zero, one = digits.images[0].mean(axis=0), digits.images[1].mean(axis=0)
    assert corner < 5.0  # paper
    assert zero[14, 14] < 20.0 < 150.0 < one[14, 14]  # a ring and a stroke
