"""A mixed fleet: boards and simulated devices compute one thing, and the report marks boards."""

import contextlib
import io
import json
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from finished_run import writer

from tinyfleet import BrokerError, FirmwareError, StudyError, named_network
from tinyfleet.server import app
from tinyfleet.server.algorithms import ALGORITHMS, Knobs, build
from tinyfleet.server.grid import FleetGrid
from tinyfleet.simulations import mixed, run
from tinyfleet.simulations.assemble import Machine, assemble
from tinyfleet.simulations.commands import show_demo
from tinyfleet.simulations.defaults import complete
from tinyfleet.simulations.fleet import SimulatedFleet
from tinyfleet.simulations.mixed import Answer, Mix, Outcome, go_on, write_outcome
from tinyfleet.simulations.report import write_report
from tinyfleet.simulations.run_folder import read_mixed
from tinyfleet.simulations.study import Study

SINE: dict[str, Any] = {
    "app": "sine",
    "strategy": "tinyreptile",
    "devices": 20,
    "rounds": 4,
    "support": 24,
    "min_support": 8,
    "noise": 0.1,
    "tasks": 4,
    "validation_tasks": 4,
    "shots": (0, 8),
}
MIX = Mix(simulated=3, boards=2, rounds=2)
FIRMWARE = "firmware 0.1.0 on nrf52840-emulated"


@dataclass(frozen=True)
class Shown:
    """What a demo left: its folder, and what it said."""

    study: Study
    folder: Path
    text: str


def demo(folder: Path, mix: Mix) -> Shown:
    study, said = complete(SINE, "test"), io.StringIO()
    with contextlib.redirect_stdout(said):
        show_demo(study, folder, mix)
    return Shown(study, folder, said.getvalue())


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return demo(tmp_path_factory.mktemp("mixed") / "run", MIX)


def finished(folder: Path, **settings: Any) -> Study:
    """Train in simulation into `folder`, without a mixed fleet."""
    study = complete({**SINE, **settings}, "test")
    run.start(study, folder, "test", Machine(), lambda _: None)
    return study


def simulated(study: Study, folder: Path, mix: Mix) -> bytes:
    """Return the weights in which the same rounds end without broker, gateway and boards."""
    setup = assemble(study, Machine())
    fleet = SimulatedFleet(setup.network, setup.fleet.tasks, mix.simulated + mix.boards)
    knobs = Knobs(study.training, seed=study.seed, first_round=study.rounds + 1, step=study.step)
    strategy = build(ALGORITHMS["tinyreptile"], knobs)
    start = np.load(folder / "weights.npy")
    return app.run(FleetGrid(fleet), strategy, start, mix.rounds).tobytes()


def told(folder: Path) -> dict[str, Any]:
    values = json.loads((folder / "mixed.json").read_text())
    assert isinstance(values, dict)
    return values


def test_a_mixed_fleet_ends_in_the_bytes_of_the_same_rounds_in_simulation(shown: Shown) -> None:
    learned = np.load(shown.folder / "mixed.npy")
    said = told(shown.folder)

    assert learned.tobytes() == simulated(shown.study, shown.folder, MIX)
    assert learned.tobytes() != np.load(shown.folder / "weights.npy").tobytes()
    assert said["weights_sha256"] == said["simulation_sha256"]


def test_the_updates_of_boards_and_no_others_come_from_firmware(shown: Shown) -> None:
    updates = told(shown.folder)["updates"]

    assert [(u["round"], u["device"], u["computed_by"] == FIRMWARE) for u in updates] == [
        (number, device, device >= 3) for number in (5, 6) for device in range(5)
    ]
    assert all(np.isfinite(u["loss"]) and 8 <= u["examples"] <= 24 for u in updates)


def test_the_report_marks_what_firmware_computed(shown: Shown) -> None:
    page = (shown.folder / "report.html").read_text()
    table = page.partition('id="mixed-table"')[2].partition("</table>")[0]
    rows = re.findall(r'<tr( class="firmware")?><th scope="row">(\d)(.*?)</tr>', table, re.DOTALL)

    assert [(int(number), bool(mark)) for mark, number, _ in rows] == [
        (device, device >= 3) for device in range(5)
    ]
    assert all((FIRMWARE in rest) == ('class="badge"' in rest) == bool(m) for m, _, rest in rows)
    assert "The same rounds in simulation end in the same bytes" in page
    for update in told(shown.folder)["updates"]:
        assert f'<data value="{update["loss"]}">' in rows[update["device"]][2]


def test_the_terminal_shows_who_computed_and_how_it_went(shown: Shown) -> None:
    assert shown.text.count(FIRMWARE) == MIX.boards
    assert "the same rounds in simulation end in the same bytes" in shown.text
    assert f"mixed fleet, broker: {told(shown.folder)['broker']}" in shown.text
    assert shown.text.endswith(f"report: {shown.folder / 'report.html'}\n")


def test_a_run_without_a_mixed_fleet_has_a_report_without_one(tmp_path: Path) -> None:
    folder = writer(tmp_path)()

    assert read_mixed(folder) is None
    assert "mixed-table" not in write_report(folder).read_text()


def test_the_embedded_broker_carries_a_mixed_fleet(shown: Shown, tmp_path: Path) -> None:
    for name in ("run.json", "weights.npy"):
        (tmp_path / name).write_bytes((shown.folder / name).read_bytes())
    mix = Mix(simulated=1, boards=1, rounds=1, embedded=True)

    go_on(tmp_path, mix, Machine(), lambda _: None)

    assert told(tmp_path)["broker"] == "amqtt"
    assert np.load(tmp_path / "mixed.npy").tobytes() == simulated(shown.study, tmp_path, mix)


def test_boards_see_the_characters_that_simulated_devices_see(
    tmp_path: Path, data_folder: Path
) -> None:
    del data_folder
    more = {"ways": 5, "support": 3, "min_support": 1, "noise": 0.2, "drift": True}
    folder, mix = tmp_path / "run", Mix(simulated=1, boards=1, rounds=1)
    other = {"app": "characters", "network": "characters-mcu", "rounds": 1, "shots": (0, 1)}

    study = finished(folder, **other, **more)
    go_on(folder, mix, Machine(), lambda _: None)

    assert np.load(folder / "mixed.npy").tobytes() == simulated(study, folder, mix)


@contextlib.contextmanager
def nothing_left_running() -> Iterator[None]:
    """Fail when a process or a thread that the block started is still there."""
    threads, children = threading.enumerate(), psutil.Process().children(recursive=True)
    yield
    assert [t.name for t in threading.enumerate() if t not in threads] == []
    assert [c for c in psutil.Process().children(recursive=True) if c not in children] == []


def test_what_was_started_is_stopped_after_ctrl_c(shown: Shown, tmp_path: Path) -> None:
    for name in ("run.json", "weights.npy"):
        (tmp_path / name).write_bytes((shown.folder / name).read_bytes())
    heard: list[run.Progress] = []

    def interrupt(progress: run.Progress) -> None:
        heard.append(progress)
        if progress.done == 1:
            assert psutil.Process().children()
            raise KeyboardInterrupt

    with nothing_left_running(), pytest.raises(KeyboardInterrupt):
        go_on(tmp_path, MIX, Machine(), interrupt)

    assert [progress.done for progress in heard] == [0, 1]
    assert not (tmp_path / "mixed.json").exists()


def test_a_device_that_gives_no_update_is_named(tmp_path: Path) -> None:
    wide = tmp_path / "wide.toml"
    layer = '[[layer]]\nkind = "dense"\noutputs = {}\n[[layer]]\nkind = "relu"\n'
    wide.write_text(
        'name = "wide"\ninput = [1]\nloss = "mean-square"\n'
        + 2 * layer.format(300)
        + '[[layer]]\nkind = "dense"\noutputs = 1\n'
    )
    finished(tmp_path / "run", network=str(wide), rounds=1, training={"rate": 1e-4})
    mix = Mix(simulated=1, boards=1, rounds=1, select="available")  # whether it fits or not

    with (
        nothing_left_running(),
        pytest.raises(BrokerError, match="none of 1 in 120 s; refused: 1 refused-by-gateway"),
    ):
        go_on(tmp_path / "run", mix, Machine(), lambda _: None)


def test_other_bytes_than_in_simulation_are_an_error_that_is_written_down(tmp_path: Path) -> None:
    weights = named_network("sine").init(1)
    answers = [Answer(1, 0, "tinyfleet 0.1.0 on x86_64", 8, 0.5), Answer(1, 1, FIRMWARE, 8, 0.5)]
    other = np.nextafter(weights, np.float32(1))

    with pytest.raises(FirmwareError, match="as the same rounds in simulation end, got"):
        write_outcome(tmp_path, Outcome("mosquitto", answers, weights, other))

    found = read_mixed(tmp_path)
    assert found is not None
    assert found.verdict == "the same rounds in simulation end in other bytes"


@pytest.mark.parametrize("text", ["{", "[]", '{"broker": "amqtt"}', '{"updates": []}'])
def test_a_damaged_record_of_a_mixed_fleet_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "mixed.json").write_text(text)

    with pytest.raises(StudyError, match=r"mixed\.json"):
        read_mixed(tmp_path)


def test_without_an_emulator_the_demo_says_so_and_ends_without_boards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "unicorn", None)

    shown = demo(tmp_path / "run", MIX)

    assert mixed.absent_packages() == ["unicorn"]
    assert "\nno mixed fleet: expected unicorn to emulate boards, got none; pip" in shown.text
    assert (shown.folder / "report.html").exists()
    assert not (shown.folder / "mixed.json").exists()
