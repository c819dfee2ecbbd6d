"""What a training step takes on the emulated board stays within its limits, and is published."""

import json

import pytest
from size import over
from typer.testing import CliRunner

from tinyfleet.simulations.bench.command import bench
from tinyfleet.simulations.bench.device import Footprint, Name, footprint


@pytest.mark.parametrize("name", ["sine", "presence"])
def test_a_step_stays_within_the_limits(name: Name) -> None:
    assert over(name, footprint(name, "dense")) == []


def test_a_limit_that_is_passed_is_named() -> None:
    fat = Footprint("dense", 9_701, 3_564, 3_232, 8_193, 7_169, 400, 1_040)

    lines = over("sine", fat)

    assert [line.split(", limit ")[1] for line in lines] == ["9,700", "8,192", "7,168"]


def test_figures_stand_beside_the_published_ones() -> None:
    run = CliRunner().invoke(bench, ["device", "--only", "sine", "--json"])
    figures = json.loads(run.output)

    sine, peers = figures["sine"], figures["peers"]
    assert 3_232 < sine["instructions_per_step"] < peers["PULP-TrainLib"]["instructions_per_step"]
    assert 5_000 < sine["ram_bytes"] < 19_600
    assert sine["flash_bytes"] > 4_000
    assert peers["AIfES, -O2"]["instructions_per_step"] == 141_105
    assert peers["AIfES, -Os"]["instructions_per_step"] == 210_928
