"""Weights survive a file bit for bit; damaged files are refused; files appear whole or not."""

import os
from pathlib import Path

import numpy as np
import pytest
from drawn import same_bits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinyfleet.atomic import write_atomically
from tinyfleet.errors import FleetError, NetworkError
from tinyfleet.layers import Dense, Relu
from tinyfleet.messages import Floats
from tinyfleet.network import Network, sequence
from tinyfleet.weights import load_weights, save_weights

TINY = Network("tiny", (2,), sequence(Dense(3), Relu(), Dense(1)), "mean-square")


def loaded_or_refused(path: Path) -> Floats | str:
    try:
        return load_weights(path, TINY)
    except NetworkError as error:
        return str(error)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "weights.npy"
    save_weights(path, TINY.init(1))
    return path


def test_weights_come_back_bit_for_bit(saved: Path) -> None:
    assert same_bits(load_weights(saved, TINY), TINY.init(1))


def test_numpy_reads_the_same_file(saved: Path) -> None:
    assert same_bits(np.load(saved), TINY.init(1))


def test_what_numpy_saves_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", TINY.init(2))

    assert same_bits(load_weights(tmp_path / "w.npy", TINY), TINY.init(2))


def test_loaded_weights_can_be_changed(saved: Path) -> None:
    vector = load_weights(saved, TINY)

    vector += 1

    assert not same_bits(vector, TINY.init(1))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(12, np.float32), r"expected 13 float32 of network tiny, got '<f4' .* \(12,\)"),
        (np.zeros(13), r"expected 13 float32 of network tiny, got '<f8'"),
        (np.zeros(13, ">f4"), r"expected 13 float32 of network tiny, got '>f4'"),
        (np.zeros((13, 1), np.float32), r"got '<f4' of shape \(13, 1\)"),
        (np.full(13, np.nan, np.float32), r"expected finite numbers, got nan at 0"),
        (np.append(np.zeros(12), -np.inf).astype(np.float32), r"got -inf at 12"),
    ],
)
def test_weights_of_another_network_are_refused(
    tmp_path: Path, array: Floats, message: str
) -> None:
    path = tmp_path / "w.npy"
    np.save(path, array)

    with pytest.raises(NetworkError, match=message) as caught:
        load_weights(path, TINY)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)

    with pytest.raises(NetworkError, match=r"expected 13 float32 of network tiny, got '[|]O'"):
        load_weights(path, TINY)


def test_an_archive_of_arrays_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    np.savez(path, TINY.init(1))

    with pytest.raises(NetworkError, match=r"expected a \.npy file of format 1\.0"):
        load_weights(path, TINY)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"absent\.npy: .* got No such file"):
        load_weights(tmp_path / "absent.npy", TINY)


def test_a_file_cut_short_anywhere_is_refused(saved: Path) -> None:
    data = saved.read_bytes()

    for length in range(len(data)):
        saved.write_bytes(data[:length])
        with pytest.raises(NetworkError, match=r"weights\.npy: expected"):
            load_weights(saved, TINY)


def test_a_file_that_has_grown_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes() + b"\0\0\0\0")

    with pytest.raises(NetworkError, match="expected 52 bytes behind the header, got 56"):
        load_weights(saved, TINY)


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, 179), put=st.binary(min_size=1, max_size=8))
def test_a_damaged_file_gives_finite_weights_or_one_line(saved: Path, at: int, put: bytes) -> None:
    data = saved.read_bytes()
    path = saved.with_name("damaged.npy")
    path.write_bytes((data[:at] + put + data[at + len(put) :])[: len(data)])

    outcome = loaded_or_refused(path)

    if isinstance(outcome, str):
        assert "\n" not in outcome
    else:
        assert outcome.shape == (13,)
        assert np.isfinite(outcome).all()


@pytest.mark.parametrize(
    "vector", [np.zeros(13), np.zeros((13, 1), np.float32), np.full(3, np.inf, np.float32)]
)
def test_bad_weights_are_never_written(tmp_path: Path, vector: Floats) -> None:
    with pytest.raises(NetworkError, match="weights: expected"):
        save_weights(tmp_path / "w.npy", vector)

    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_whole_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"

    write_atomically(path, "first, and long")
    write_atomically(path, "é")

    assert path.read_bytes() == "é".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_who_has_the_old_file_open_keeps_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    with path.open("rb") as reader:
        write_atomically(path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "child").touch()

    with pytest.raises(FleetError, match="taken: expected a file that can be written, got"):
        write_atomically(taken, b"data")

    assert list(tmp_path.iterdir()) == [taken]


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match=r"absent/file: expected .*No such file") as caught:
        write_atomically(tmp_path / "absent" / "file", b"data")
    assert "\n" not in str(caught.value)


def test_a_written_file_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()

    write_atomically(tmp_path / "file", b"data")

    assert os.stat(tmp_path / "file").st_mode == os.stat(tmp_path / "plain").st_mode


def test_a_name_as_long_as_the_disk_allows_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)

    write_atomically(path, b"data")

    assert path.read_bytes() == b"data"
