"""The benchmark compares like with like, and shows every figure or the reason why not."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, RecordDict
from lines import LineFleet
from rich.console import Console
from typer.testing import CliRunner

from tinyfleet.cli import make_app
from tinyfleet.messages import Floats
from tinyfleet.server.grid import FleetGrid
from tinyfleet.simulations.bench import flower_peer, numpy_peer, ours, torch_peers
from tinyfleet.simulations.bench.bout import Settings
from tinyfleet.simulations.bench.child import PEERS
from tinyfleet.simulations.bench.contest import contest
from tinyfleet.simulations.bench.simulation import RIVALS, TIMED, table
from tinyfleet.simulations.bench.workloads import WORKLOADS, Prepared, Workload
from tinyfleet.simulations.torch_model import network_model
from tinyfleet.task import TaskBatch

DEVICES = 5

Learn = Callable[[Workload, TaskBatch], Floats]

PEERS_LEARN: dict[str, Learn] = {
    "numpy": lambda workload, tasks: numpy_peer.learn(workload, tasks, block=2, workers=2),
    "torch_loop": torch_peers.learn_loop,
    "torch_vmap": lambda workload, tasks: torch_peers.learn_vmap(workload, tasks, block=3),
}


@pytest.fixture(scope="module", params=list(WORKLOADS))
def workload(request: pytest.FixtureRequest) -> Workload:
    return WORKLOADS[request.param]()


def distance(workload: Workload, theirs: Floats, kernels: Floats) -> float:
    """Return how far apart the weights are, relative to how far the kernel's have moved."""
    moved = np.linalg.norm(kernels - workload.start)
    return float(np.linalg.norm(theirs - kernels) / moved)


@pytest.mark.parametrize("peer", PEERS_LEARN)
def test_a_peer_learns_what_the_kernel_learns(workload: Workload, peer: str) -> None:
    kernels = ours.learn(workload, DEVICES)
    theirs = PEERS_LEARN[peer](workload, workload.batch(DEVICES))
    assert theirs.shape == (DEVICES, workload.network.parameters)
    assert distance(workload, theirs, kernels) < 1e-4


def test_the_flower_client_learns_what_the_kernel_learns(workload: Workload) -> None:
    model = network_model(workload.network)
    module = torch_peers.plain_module(model, workload.start)
    content = RecordDict({"arrays": ArrayRecord(module.state_dict())})
    asked = FleetGrid(LineFleet(devices=(3,))).create_message(content, "train", 0, "1")
    context = Context(1, 1, {"partition-id": 3}, RecordDict(), {})
    reply = flower_peer.client_app(workload.name)(asked, context)
    state = reply.content.array_records["arrays"].to_torch_state_dict()
    module.load_state_dict(state)
    theirs = torch_peers.parameters_vector(model, module)
    assert distance(workload, theirs, ours.learn(workload, 4)[3]) < 1e-4
    assert reply.content.metric_records["metrics"]["num-examples"] == workload.steps


def test_tasks_drawn_beforehand_are_the_same_tasks(workload: Workload) -> None:
    drawn = Prepared(workload.tasks, workload.batch(4))
    again = drawn.batch(np.array([3, 4, 6]), 9)
    expected = workload.batch(4)
    assert (again.support_x == expected.support_x[[3, 0, 2]]).all()
    assert (again.support_y == expected.support_y[[3, 0, 2]]).all()


def test_an_update_has_as_many_steps_as_said(workload: Workload) -> None:
    assert (workload.batch(2).counts == workload.steps).all()


def test_operations_of_a_sine_update_are_those_counted_by_hand() -> None:
    forward = 32 + 32 * 32 + 32
    deltas = 32 * 32 + 32
    assert WORKLOADS["sine"]().flop == 2 * 32 * (2 * forward + deltas)


@pytest.fixture(scope="module")
def quick() -> dict[str, Any]:
    """The figures of a quick run, as the command prints them to a pipe."""
    call = "from tinyfleet.cli import main; main()"
    options = ["bench", "simulation", "--quick", "--only", "sine", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", call, *options], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def test_a_quick_run_has_every_figure(quick: dict[str, Any]) -> None:
    assert set(quick) == {"sine", "machine"}
    sine = quick["sine"]
    assert sine["notes"] == {}
    assert all(sine[peer] > 0 for peer in TIMED)
    assert all(sine["peak_memory_mib"][peer] > 0 for peer in TIMED)
    assert 0 < sine["share_of_peak"] < 1
    assert all(quick["machine"][key] for key in ("cores", "processor", "kernel", "peak_gflops"))
    assert {"python", "numpy", "torch", "flwr", "ray"} <= set(quick["machine"]["versions"])


def test_a_ratio_is_ours_over_theirs(quick: dict[str, Any]) -> None:
    sine = quick["sine"]
    for rival in RIVALS:
        assert sine[f"ratio_{rival}"] == pytest.approx(sine["tinyfleet"] / sine[rival], rel=2e-3)


def test_the_table_shows_every_peer(quick: dict[str, Any]) -> None:
    text = io.StringIO()
    Console(file=text, width=200).print(table("sine", quick["sine"]))
    assert all(peer in text.getvalue() for peer in TIMED)


def test_a_peer_that_fails_leaves_its_reason_and_disturbs_no_other() -> None:
    settings = Settings("nothing", seconds=0.01, bouts=2, nodes=2, workers=1, quick=True)
    heard: list[tuple[str, str]] = []
    standings = contest(("numpy", "peak"), settings, lambda what, peer: heard.append((what, peer)))
    assert standings["numpy"].rates == ()
    assert standings["numpy"].reason == "KeyError: 'nothing'"
    assert standings["peak"].reason is None
    assert len(standings["peak"].rates) == 1
    assert heard[:2] == [("start", "numpy"), ("start", "peak")]


def test_the_table_says_why_a_figure_is_missing(quick: dict[str, Any]) -> None:
    sine = quick["sine"]
    missing = {
        **sine,
        "flower_ray": None,
        "ratio_flower_ray": None,
        "spread": {**sine["spread"], "flower_ray": None},
        "notes": {"flower_ray": "no Ray here"},
    }
    text = io.StringIO()
    Console(file=text, width=200).print(table("sine", missing))
    assert "no Ray here" in text.getvalue()


def test_an_unknown_workload_is_refused() -> None:
    result = CliRunner().invoke(make_app(), ["bench", "simulation", "--only", "cosine"])
    assert result.exit_code == 2
    assert "cosine" in result.output


def test_every_peer_of_the_table_takes_part() -> None:
    assert set(TIMED) | {"peak"} == set(PEERS)
