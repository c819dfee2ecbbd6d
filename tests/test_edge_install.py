"""An edge box: `tinyfleet[edge]` alone runs a gateway, and loads nothing of a server."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from brokers import running_mosquitto
from daemons import RunningDaemon, simulated, write_gateway
from needed import go_without

from tinyfleet import Assignment, Training, named_network
from tinyfleet.broker import Broker
from tinyfleet.mqtt_fleet import MqttFleet

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "client" / "systemd" / "tinyfleet-client@.service"
HEAVY = {"flwr", "torch", "ray", "rdflib", "matplotlib", "PIL", "sklearn", "grpc", "unicorn"}


def test_the_daemon_loads_nothing_of_a_server() -> None:
    code = "import sys, tinyfleet.client.daemon, tinyfleet.client.commands; print(*sys.modules)"

    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert not HEAVY & {name.split(".")[0] for name in loaded.stdout.split()}


def required(name: str, extras: tuple[str, ...] = ()) -> set[str]:
    """Return the distributions that `name[extras]` needs here, itself included."""
    found, todo = set[str](), [(name, extras)]
    while todo:
        package, wanted = todo.pop()
        found.add(package)
        for text in distribution(package).requires or []:
            spec, _, marker = text.partition(";")
            extra = re.search(r"extra == ['\"]([\w-]+)['\"]", marker)
            if (extra and extra[1] not in wanted) or "python_version <" in marker:
                continue
            other = re.split(r"[^\w.-]", spec.strip(), maxsplit=1)[0]
            try:
                distribution(other)
            except PackageNotFoundError:  # for another platform
                continue
            if other not in found:
                todo.append((other, ()))
    return found


@pytest.fixture(scope="module")
def edge(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the wheel of tinyfleet and what `tinyfleet[edge]` requires, and no more."""
    folder = tmp_path_factory.mktemp("edge")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    for name in required("tinyfleet", ("edge",)) - {"tinyfleet"}:
        files = distribution(name).files or []
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    return folder / "bin" / "python"


def test_a_gateway_runs_with_the_edge_extra_alone(edge: Path, tmp_path: Path) -> None:
    import numpy as np

    network = named_network("sine")
    x = np.linspace(-1, 1, 16, dtype=np.float32)[:, None]
    np.savez(tmp_path / "data.npz", x=x, y=np.sin(x))
    device = '[[device]]\nnumber = 0\nkind = "in-process"\n'
    device += 'source = { kind = "recorded", file = "data.npz" }\n'
    tinyfleet = [str(edge), "-c", "from tinyfleet.cli import main; main()", "client"]

    with running_mosquitto(tmp_path) as mosquitto:
        config = write_gateway(tmp_path, mosquitto.port, device)
        with (
            RunningDaemon(config, tinyfleet),
            MqttFleet(Broker("127.0.0.1", mosquitto.port), "lab", network, run="r") as fleet,
        ):
            fleet.wait_for(1, timeout=30)
            asked = Assignment(1, network.init(1), Training(rate=0.01))
            updates = list(fleet.run({0: asked}, timeout=30))

    assert [(update.device, update.examples) for update in updates] == [(0, 16)]


@pytest.mark.parametrize("wanted", [("simulate", "sine"), ("query", "--list")])
def test_a_command_that_needs_more_says_what(
    edge: Path, wanted: tuple[str, str], tmp_path: Path
) -> None:
    code = "from tinyfleet.cli import main; main()"

    asked = subprocess.run(
        [edge, "-c", code, *wanted], capture_output=True, text=True, cwd=tmp_path
    )

    assert asked.returncode == 1
    expected = rf"tinyfleet: {wanted[0]}: expected the package \w+, got none; pip"
    assert re.match(expected, asked.stderr)


def test_a_source_that_needs_more_says_what(edge: Path, tmp_path: Path) -> None:
    config = write_gateway(tmp_path, 1, simulated(0, 1))
    code = "from tinyfleet.cli import main; main()"

    asked = subprocess.run(
        [edge, "-c", code, "client", "run", "--config", config], capture_output=True, text=True
    )

    assert asked.returncode == 10
    assert "[[device]] 1: source: kind: sine needs a package that is not installed" in asked.stderr


def test_the_service_starts_hardened_and_knows_when_it_is_ready() -> None:
    text = UNIT.read_text()

    for setting in (
        "Type=notify",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "WatchdogSec=",
        "MemoryMax=",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
    ):
        assert f"\n{setting}" in text


def test_systemd_finds_nothing_wrong_with_the_service(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        go_without("no systemd-analyze: apt-get install systemd")
    unit = tmp_path / "tinyfleet-client@gw.service"
    text = UNIT.read_text().replace("/opt/tinyfleet/bin/tinyfleet", sys.executable)
    unit.write_text(text.replace("User=tinyfleet", "User=root"))

    found = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True)

    assert "tinyfleet-client@" not in found.stderr


def test_a_daemon_feeds_the_watchdog_and_says_that_it_stops(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path) as mosquitto:
        config = write_gateway(tmp_path, mosquitto.port, simulated(0, 0))
        with RunningDaemon(config, watchdog_seconds=10) as daemon:
            told = [daemon.next_notice() for _ in range(3)]
            daemon.stop()
            while told[-1] == b"WATCHDOG=1":
                told.append(daemon.next_notice())

    assert told[:3] == [b"WATCHDOG=1"] * 3
    assert told[-1] == b"STOPPING=1"
