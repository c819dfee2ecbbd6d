"""A Flower deployment: SuperLink, SuperNodes, daemons and boards give what a simulation gives."""

import json
import logging
import os
import re
import shlex
import signal
import ssl
import subprocess
import sysconfig
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import typer.main
from boards import firmware
from brokers import running_mosquitto
from flwr.app import Context, RecordDict

from tinyfleet.address import answers, listening_port, split
from tinyfleet.cli import make_app
from tinyfleet.client.gateway import read_gateway
from tinyfleet.client.reach import superlink_fault
from tinyfleet.client.up import Node, up
from tinyfleet.errors import ConfigError, FleetError, NetworkError
from tinyfleet.messages import Assignment, Floats, Training, Update
from tinyfleet.networks import sine
from tinyfleet.server.algorithms import ALGORITHMS, Knobs, build
from tinyfleet.server.app import run
from tinyfleet.server.certificates import certify_host, make_authority
from tinyfleet.server.deployment import app, read_run_config
from tinyfleet.server.grid import FleetGrid
from tinyfleet.server.serve import Running, Server
from tinyfleet.server.serve_command import told
from tinyfleet.simulations.fleet import SimulatedFleet
from tinyfleet.simulations.tasks.sine import tecs2024

ROOT = Path(__file__).parent.parent
SCRIPTS = Path(sysconfig.get_path("scripts"))
SEED, ROUNDS, BOARDS, SIMULATED = 1, 5, 3, 10
PER_NODE = BOARDS + SIMULATED
DEFAULTS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["flwr"][
    "app"
]["config"]
PATIENCE = 150.0


@dataclass(frozen=True)
class Command:
    """A command that runs until it is told to stop."""

    process: subprocess.Popen[bytes]
    output: Path

    def said(self, pattern: str) -> str:
        """Wait until the command says something and return its first group."""
        until = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.output.read_text(), re.MULTILINE)):
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < until, self.output.read_text()
            time.sleep(0.05)
        return found[1]

    def stop(self) -> int:
        """Ask it to stop and return its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[Command]:
    """Run `tinyfleet`; leaving the block stops it."""
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / f"{arguments[0]}.out"
    # Flower looks for work once a second; here nobody has the time.
    environment = {**os.environ, "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1"}
    with output.open("wb") as file:
        process = subprocess.Popen(
            [SCRIPTS / "tinyfleet", *arguments],
            stdout=file,
            stderr=file,
            cwd=folder,
            env=environment,
        )
    command = Command(process, output)
    try:
        yield command
    finally:
        command.stop()


def gateway_file(folder: Path, number: int, broker: str) -> Path:
    """Write the file of gateway 0 or 1: three boards, and ten simulated devices."""
    first = number * PER_NODE
    folder.mkdir()
    path = folder / "gateway.toml"
    source = f'{{ kind = "sine", seed = {SEED} }}'
    path.write_text(
        f'fleet = "lab"\ngateway = "gw-{number}"\nnetwork = "sine"\n[broker]\nport = {broker}\n'
        f'[[device]]\nnumbers = [{first}, {first + BOARDS - 1}]\nkind = "emulated"\n'
        f"source = {source}\n[[device]]\nnumbers = [{first + BOARDS}, {first + PER_NODE - 1}]\n"
        f'kind = "simulated"\nsource = {source}\n'
    )
    return path


def simulated(rounds: int, nodes: int = 2, per_node: int = PER_NODE) -> Floats:
    fleet = SimulatedFleet(sine(), tecs2024(seed=SEED), nodes * per_node)
    knobs = Knobs(Training(rate=DEFAULTS["rate"]), step=DEFAULTS["step"], seed=SEED)
    strategy = build(ALGORITHMS["tinyreptile"], knobs)
    return run(FleetGrid(fleet, per_node), strategy, sine().init(SEED), rounds)


@pytest.mark.parametrize("broker", ["mosquitto", "embedded"])
def test_a_deployment_gives_the_bytes_of_a_simulation(broker: str, tmp_path: Path) -> None:
    firmware("unicorn", "zig")
    if broker == "mosquitto":
        running_mosquitto(tmp_path).stop()  # there is one
    serve = ["serve", "--port", "0", "--broker-port", "0"]
    with running(tmp_path, *serve, *(["--embedded"] if broker == "embedded" else [])) as server:
        port = server.said(r"^broker .*:(\d+)$")
        superlink = server.said(r"^superlink +(\S+)$")
        files = [gateway_file(tmp_path / f"gw-{n}", n, port) for n in (1, 0)]
        up = ["client", "up", "--superlink", superlink]
        with running(files[0].parent, *up) as one, running(files[1].parent, *up) as other:
            flower_run(tmp_path, gateways=2, rounds=ROUNDS, seed=SEED, folder=tmp_path / "out")
            assert one.stop() == other.stop() == 0
        assert server.stop() == 0

    weights = np.load(tmp_path / "out" / "weights.npy")
    assert weights.tobytes() == simulated(ROUNDS).tobytes()
    lines = (tmp_path / "out" / "rounds.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    assert [(line["round"], line["devices"]) for line in told] == [
        (number, 2 * PER_NODE) for number in range(1, ROUNDS + 1)
    ]
    bundle = (tmp_path / "tinyfleet-server" / "flower" / "apps").rglob("*")
    assert {path.name for path in bundle if path.is_file()} == {"pyproject.toml", "LICENSE"}
    logs = [(file.parent / "state" / "daemon.log").read_text() for file in files]
    assert sum(log.count("nrf52840-emulated, firmware") for log in logs) == 2 * BOARDS


def flower_run(here: Path, **config: Any) -> None:
    """Run the repository's app to its end on the SuperLink that `tinyfleet serve` runs here."""
    written = " ".join(f"{key}={json.dumps(value, default=str)}" for key, value in config.items())
    done = subprocess.run(
        [SCRIPTS / "flwr", "run", ".", "--stream", "--run-config", written],
        cwd=ROOT,
        env={**os.environ, "FLWR_HOME": str(here / "tinyfleet-server" / "flower")},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def context(**changes: Any) -> Context:
    return Context(1, 1, {}, RecordDict(), {**DEFAULTS, **changes})


def test_a_run_writes_weights_and_rounds(tmp_path: Path) -> None:
    grid = FleetGrid(SimulatedFleet(sine(), tecs2024(seed=SEED), 6), 3)

    app(grid, context(rounds=2, gateways=2, seed=SEED, folder=str(tmp_path / "out")))

    weights = np.load(tmp_path / "out" / "weights.npy")
    assert weights.tobytes() == simulated(2, per_node=3).tobytes()
    lines = (tmp_path / "out" / "rounds.jsonl").read_text().splitlines()
    assert [json.loads(line)["parameters_sent"] for line in lines] == [6 * 1153] * 2


def test_a_folder_of_another_run_is_left_alone(tmp_path: Path) -> None:
    grid = FleetGrid(SimulatedFleet(sine(), tecs2024(seed=SEED), 2), 1)
    (tmp_path / "rounds.jsonl").write_text("{}\n")

    with pytest.raises(ConfigError, match=r"folder: expected a folder without rounds\.jsonl"):
        app(grid, context(rounds=1, folder=str(tmp_path)))

    assert (tmp_path / "rounds.jsonl").read_text() == "{}\n"


class Sleepy:
    """Devices of which nobody answers before round `wakes`."""

    def __init__(self, wakes: int) -> None:
        self._fleet, self._wakes = SimulatedFleet(sine(), tecs2024(seed=SEED), 2), wakes

    @property
    def devices(self) -> Sequence[int]:
        return self._fleet.devices

    def run(
        self, assignments: Mapping[int, Assignment], timeout: float | None = None
    ) -> Iterator[Update]:
        awake = assignments[0].round >= self._wakes
        return self._fleet.run(assignments, timeout) if awake else iter(())


def test_a_run_in_which_nobody_answers_fails(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="expected updates of devices, got none in 2 rounds"):
        app(FleetGrid(Sleepy(wakes=3), 2), context(rounds=2, folder=str(tmp_path / "out")))

    lines = (tmp_path / "out" / "rounds.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == [None, None]
    assert not (tmp_path / "out" / "weights.npy").exists()


def test_a_round_in_which_nobody_answers_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app(FleetGrid(Sleepy(wakes=2), 2), context(rounds=2, folder=str(tmp_path / "out")))

    warned = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert [text.partition(";")[0] for text in warned] == ["Round 1: no device gave an update"]
    assert (tmp_path / "out" / "weights.npy").exists()


@pytest.mark.parametrize("strategy", ["tinyreptile", "tinymetafed", "fedavg"])
def test_every_strategy_of_a_deployment_learns_online(strategy: str) -> None:
    settings = read_run_config({**DEFAULTS, "strategy": strategy}).strategy.settings

    assert settings.training.online
    assert settings.per_round == 0  # all of them


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": "sgd"}, "strategy: expected one of fedavg, tinymetafed, tinyreptile, got"),
        ({"rounds": 0}, "rounds: expected a whole number, 1 or more, got 0"),
        ({"rounds": 2.0}, "rounds: expected a whole number"),
        ({"gateways": True}, "gateways: expected a whole number, 1 or more, got True"),
        ({"rate": -0.1}, "rate: expected a finite number above 0"),
        ({"timeout": float("inf")}, "timeout: expected a finite number above 0"),
        ({"folder": 3}, "folder: expected a text in quotes, got 3"),
    ],
)
def test_a_wrong_run_config_is_refused_by_name(changes: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_run_config({**DEFAULTS, **changes})


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(NetworkError, match=r"sinus\.toml: expected a TOML file of a network"):
        read_run_config({**DEFAULTS, "network": "sinus.toml"})


def test_a_broker_that_dies_ends_the_superlink(tmp_path: Path) -> None:
    with running(tmp_path, "serve", "--port", "0", "--broker-port", "0", "--embedded") as server:
        superlink = server.said(r"^superlink +(\S+)$")
        assert answers(f"http://{superlink}/health")
        broker = child_of(server.process.pid, "embedded_broker")
        os.kill(broker, signal.SIGKILL)

        assert server.process.wait(PATIENCE) == 1
        assert "tinyfleet: broker: expected it to run, got exit -9" in server.output.read_text()
        assert not answers(f"http://{superlink}/health")


def child_of(parent: int, word: str) -> int:
    """Return the one child of a process whose command holds `word`."""
    children = Path(f"/proc/{parent}/task").glob("*/children")
    numbers = [int(number) for file in children for number in file.read_text().split()]
    [found] = [n for n in numbers if word in Path(f"/proc/{n}/cmdline").read_text()]
    return found


def test_a_node_trusts_a_superlink_by_its_certificate(tmp_path: Path) -> None:
    authority = make_authority("test")
    own = certify_host(authority, ["localhost", "127.0.0.1"])
    for name, data in (("ca", authority.certificate), ("crt", own.certificate), ("key", own.key)):
        (tmp_path / name).write_bytes(data)
    serve = ["serve", "--port", "0", "--broker-port", "0"]
    with running(tmp_path, *serve, "--certificate", "crt", "--key", "key", "--ca", "ca") as server:
        superlink = server.said(r"^superlink +(\S+)$")
        assert answers(f"https://{superlink}/health", tmp_path / "ca")
        assert not answers(f"https://{superlink}/health")
        place, own_ca = split(superlink, ""), ssl.create_default_context(cafile=tmp_path / "ca")
        assert superlink_fault(*place, own_ca) is None
        assert "certificate" in (superlink_fault(*place, ssl.create_default_context()) or "")
        assert "if it has TLS, give --ca" in (superlink_fault(*place, None) or "")
        folder = gateway_file(tmp_path / "gw", 0, server.said(r"^broker .*:(\d+)$")).parent
        up = ["client", "up", "--superlink", superlink, "--ca", str(tmp_path / "ca")]
        with running(folder, *up) as node:
            assert node.said(r"^superlink \S+: (.+)$") == "reached"
            log = Command(node.process, folder / "state" / "supernode.log")
            assert int(log.said(r"SuperNode ID: (\d+)")) > 0


PAGE = (ROOT / "docs" / "deploy.md").read_text("utf-8")


def page_commands() -> list[str]:
    """Return the command lines of the page that start tinyfleet."""
    lines = re.findall(r"^(?:ExecStart=\S*/)?(tinyfleet .*)$", PAGE, re.MULTILINE)
    assert len(lines) > 8
    return lines


@pytest.mark.parametrize("line", page_commands())
def test_a_command_of_the_page_is_understood(line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command = typer.main.get_command(make_app(words))
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]

    assert command.make_context(line, words).params


def test_the_gateway_of_the_page_can_be_read(tmp_path: Path) -> None:
    [text] = re.findall(r"<<'END'\n(.*?)END\n", PAGE, re.DOTALL)
    (tmp_path / "gateway.toml").write_text(text)

    assert [table.kind for table in read_gateway(tmp_path / "gateway.toml").devices] == [
        "emulated",
        "simulated",
    ]


def test_the_page_explains_every_setting_and_no_other() -> None:
    table = PAGE.partition("## Settings of a run\n")[2].partition("\n## ")[0]
    used = re.search(r"--run-config '([^']*)'", PAGE)

    assert re.findall(r"^\| `([a-z-]+)`", table, re.MULTILINE) == list(DEFAULTS)
    assert used
    assert {pair.partition("=")[0] for pair in used[1].split()} < set(DEFAULTS)


def test_other_machines_need_tls(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--host: expected --certificate, --key and --ca with"):
        Server(tmp_path, host="0.0.0.0")


def test_an_account_of_the_gateway_asks_for_one_of_the_server(tmp_path: Path) -> None:
    path = gateway_file(tmp_path / "gw", 0, '1883\nusername = "gw-0"')

    with pytest.raises(ConfigError, match=r"--account: expected the server's account, for"):
        up(Node(path, "127.0.0.1:8000"), ignore, ignore)


def ignore(_: object) -> None:
    """Hear what a command tells, and say nothing."""


def test_a_ca_that_is_missing_is_refused(tmp_path: Path) -> None:
    path = gateway_file(tmp_path / "gw", 0, "1883")

    with pytest.raises(ConfigError, match="--ca: expected a file, got nope"):
        up(Node(path, "127.0.0.1:8000", ca=Path("nope")), ignore, ignore)


def test_a_gateway_says_what_it_does_not_reach_and_when_it_does(tmp_path: Path) -> None:
    broker, status, superlink = (listening_port("127.0.0.1") for _ in range(3))
    (tmp_path / "gateway.toml").write_text(
        f'fleet = "lab"\ngateway = "gw-1"\nnetwork = "sine"\n[broker]\nport = {broker}\n'
        f'[status]\nlisten = "127.0.0.1:{status}"\n'
        '[[device]]\nnumber = 0\nkind = "simulated"\nsource = { kind = "sine", seed = 1 }\n'
    )
    config = ["--config", str(tmp_path / "gateway.toml"), "--superlink", f"127.0.0.1:{superlink}"]
    with running(tmp_path / "one", "client", "up", *config) as first:
        said = first.said(r"^superlink \S+: not reached (.*)$")
        assert said == "(Connection refused); keeps trying"
        assert first.said(r"^broker \S+: not reached (.*); keeps trying$")
        with running(tmp_path / "other", "client", "up", *config) as second:
            assert second.process.wait(PATIENCE) == ConfigError.exit_code
            assert "another tinyfleet client up" in second.output.read_text()
        serve = ["serve", "--port", str(superlink), "--broker-port", str(broker)]
        with running(tmp_path / "server", *serve):
            assert first.said(r"^superlink \S+: (reached)$")
            assert first.said(r"^broker \S+: (reached)$")


def test_what_a_server_tells_to_type_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    gateway, run_ = told(Running("127.0.0.1:8000", True, tmp_path / "my ca", None, tmp_path))[-2:]

    assert shlex.split(gateway)[1:] == [
        *(str(SCRIPTS / "tinyfleet"), "client", "up", "--config", "gateway.toml"),
        *("--superlink", "NAME-OF-THIS-MACHINE:8000", "--ca", str(tmp_path / "my ca")),
    ]
    assert shlex.split(run_)[1:3] == [f"FLWR_HOME={tmp_path}", str(SCRIPTS / "flwr")]


def test_a_second_server_leaves_the_files_of_the_first_alone(tmp_path: Path) -> None:
    serve = ["serve", "--port", "0", "--no-broker", "--folder", str(tmp_path / "own")]
    with running(tmp_path / "one", *serve) as first:
        first.said(r"^(superlink)")
        before = (tmp_path / "own" / "flower" / "config.toml").read_bytes()
        with running(tmp_path / "other", *serve) as second:
            assert second.process.wait(PATIENCE) == ConfigError.exit_code
            assert "another tinyfleet serve" in second.output.read_text()
        assert (tmp_path / "own" / "flower" / "config.toml").read_bytes() == before


def test_an_address_without_a_port_is_refused(tmp_path: Path) -> None:
    path = gateway_file(tmp_path / "gw", 0, "1883")

    with pytest.raises(ConfigError, match="--superlink: expected host:port such as"):
        up(Node(path, "server.lan"), ignore, ignore)
