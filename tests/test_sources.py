"""Sources give a gateway's devices the samples that they promise, or say what is wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyfleet import named_network
from tinyfleet.client.sources import Sensor, Tasks, open_source
from tinyfleet.errors import ConfigError, DatasetError, FleetError
from tinyfleet.simulations.assemble import Machine, assemble
from tinyfleet.simulations.defaults import complete
from tinyfleet.task import Task

SINE, CHARACTERS = named_network("sine"), named_network("characters-mcu")
KEYWORDS = named_network("keywords")


def opened(options: dict[str, Any], network: Any = SINE) -> Tasks:
    source = open_source(options, network, "gateway.toml: device 1: source")
    assert not isinstance(source, Sensor)
    return source


def same(one: Task, other: Task) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("support_x", "support_y", "query_x", "query_y")
    )


@pytest.mark.parametrize("options", [
    {"seed": 3},
    {"seed": 3, "setting": "maml2017", "support": 20},
    {"seed": 4, "support": 10, "query": 6, "min_support": 4, "noise": 0.2},
])  # fmt: skip
def test_a_device_gets_the_sine_of_a_simulated_one(options: dict[str, Any]) -> None:
    strategy = "tinymetafed" if "query" in options else "tinyreptile-parallel"
    study = complete({"app": "sine", "strategy": strategy, **options}, "test")
    simulated = assemble(study, Machine()).fleet.tasks

    source = opened({"kind": "sine", **options})

    for device, round_number in ((0, 1), (7, 1), (7, 5)):
        batch = simulated.batch(np.array([device], np.int64), round_number)
        assert same(source(device, round_number), batch.task(0))


def test_a_device_gets_the_characters_of_a_simulated_one(data_folder: Path) -> None:
    file = str(data_folder / "omniglot_background_28.npz")
    options = {"seed": 2, "support": 3, "drift": True, "noise": 0.1}
    study = complete({"app": "characters", "data": file, **options}, "test")
    simulated = assemble(study, Machine()).fleet.tasks

    source = opened({"kind": "characters", "file": file, **options}, CHARACTERS)

    batch = simulated.batch(np.array([4], np.int64), 2)
    assert same(source(4, 2), batch.task(0))


def test_a_device_gets_the_keywords_of_a_simulated_one(data_folder: Path) -> None:
    file = str(data_folder / "keywords_mfcc49x10.npz")
    options = {"seed": 2, "support": 3, "speakers": 2, "drift": True, "noise": 0.1}
    study = complete({"app": "keywords", "data": file, "shots": (0, 1), **options}, "test")
    simulated = assemble(study, Machine()).fleet.tasks

    source = opened({"kind": "keywords", "file": file, **options}, KEYWORDS)

    batch = simulated.batch(np.array([4], np.int64), 2)
    assert same(source(4, 2), batch.task(0))


def test_a_recording_goes_on_where_the_last_round_ended_and_starts_over(tmp_path: Path) -> None:
    x = np.arange(5, dtype=np.float32)[:, None]
    np.savez(tmp_path / "data.npz", x=x, y=-x)

    source = opened({"kind": "recorded", "file": str(tmp_path / "data.npz"), "samples": 2})

    rounds = [source(0, n).support_x.ravel().tolist() for n in (1, 2, 3, 4)]
    assert rounds == [[0, 1], [2, 3], [4, 0], [1, 2]]
    assert source(0, 3).support_y.ravel().tolist() == [-4, 0]
    assert len(source(0, 1).query_x) == 0


def test_a_sensor_is_asked_for_as_many_samples_as_are_told() -> None:
    assert open_source({"kind": "sensor", "samples": 9}, SINE, "place") == Sensor(9)


@pytest.mark.parametrize(("arrays", "told"), [
    ({"x": np.zeros((3, 2), np.float32), "y": np.zeros((3, 1), np.float32)}, "x: expected float32"),
    ({"x": np.zeros((3, 1)), "y": np.zeros((3, 1), np.float32)}, "got float64 of shape"),
    ({"x": np.zeros((3, 1), np.float32), "y": np.zeros((2, 1), np.float32)}, "expected 3 rows"),
    ({"x": np.zeros((0, 1), np.float32), "y": np.zeros((0, 1), np.float32)}, "x: expected float32"),
    ({"x": np.full((3, 1), np.nan, np.float32), "y": np.zeros((3, 1), np.float32)}, "finite"),
    ({"x": np.zeros((3, 1), np.float32)}, "got no y"),
    ({"x": np.array([{}]), "y": np.zeros((1, 1), np.float32)}, "plain arrays"),
])  # fmt: skip
def test_a_bad_recording_is_refused(tmp_path: Path, arrays: dict[str, Any], told: str) -> None:
    np.savez(tmp_path / "data.npz", **arrays)

    with pytest.raises(DatasetError, match=told):
        opened({"kind": "recorded", "file": str(tmp_path / "data.npz")})


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_a_damaged_recording_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.npz").write_bytes(content)

    with pytest.raises(DatasetError, match=r"data\.npz: expected a \.npz archive"):
        opened({"kind": "recorded", "file": str(tmp_path / "data.npz")})


@pytest.mark.parametrize(("options", "told"), [
    ({"kind": "cosine"}, "sensor, characters, keywords, sine, got 'cosine'"),
    ({"kind": "sine", "speed": 1}, "expected only the keys kind, setting, seed, support"),
    ({"kind": "sine", "seed": "1"}, "seed: expected a whole number, got '1'"),
    ({"kind": "sine", "seed": True}, "seed: expected a whole number, got True"),
    ({"kind": "sine", "support": 0}, "sine.support"),
    ({"kind": "sine", "setting": "other"}, "setting: expected one of tecs2024, maml2017"),
    ({"kind": "sensor", "samples": 0}, "samples: expected a whole number of 1 to"),
    ({"kind": "recorded"}, "file: expected an .npz file, got None"),
    ({"kind": "recorded", "file": "f", "colour": 1}, "expected only the keys kind, file, samples"),
])  # fmt: skip
def test_a_wrong_option_is_refused_by_name(options: dict[str, Any], told: str) -> None:
    with pytest.raises(FleetError) as refused:
        open_source(options, SINE, "gateway.toml: device 1: source")

    assert told in str(refused.value)
    assert str(refused.value).startswith("gateway.toml: device 1: source: ")


def test_a_source_for_another_network_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"samples of \(28, 28, 1\) and 5 outputs for network"):
        opened({"kind": "sine"}, CHARACTERS)


def test_a_wrong_option_is_a_mistake_of_the_configuration() -> None:
    with pytest.raises(ConfigError):
        opened({"kind": "sine", "seed": 1.5})
