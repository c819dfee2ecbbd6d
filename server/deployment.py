"""The server app of a deployment: the run config in, a strategy over the gateways, files out.

    flwr run . --run-config 'rounds=20 gateways=2 folder="/srv/tinyfleet/run-1"'

`[tool.flwr.app.config]` in `pyproject.toml` names every setting and its default. Every gateway that
is connected takes part in every round, with all its devices; or, where `select` names a query and
`graph` what is asked, with those that the query finds. The folder then holds `weights.npy`, as of
the last round that a device took part in, and `rounds.jsonl`, one line for each round.
"""

import json
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from tinyfleet.description import load_network, network_to_toml
from tinyfleet.errors import ConfigError, FleetError
from tinyfleet.messages import Floats, Training
from tinyfleet.network import Network
from tinyfleet.networks import NETWORKS, named_network
from tinyfleet.ontology.describe_network import describe_network
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.provenance import RunRecord
from tinyfleet.server.algorithms import ALGORITHMS, Knobs, build
from tinyfleet.server.app import Round, server_app
from tinyfleet.server.ledger import Ledger, known_rounds
from tinyfleet.server.select import Chosen, Selection, Selector, choose_devices, read_selection
from tinyfleet.server.strategy import MetaStrategy
from tinyfleet.weights import save_weights

WEIGHTS, ROUNDS = "weights.npy", "rounds.jsonl"

ON_THE_WAY = 60.0
"""Seconds that a round has besides its devices' timeout: Flower starts a process in each node."""

_log = logging.getLogger("flwr")

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run what the run config asks, on the gateways that are connected.

    Raises:
        FleetError: the run config cannot be used, or no device ever gave an update. Flower then
            marks the run as failed.
    """
    try:
        _run(grid, context)
    except FleetError as error:
        _log.error("%s", error)
        raise error.with_traceback(None) from None  # Flower logs whatever trace there is


def _run(grid: Grid, context: Context) -> None:
    deployment = read_run_config(context.run_config)
    if deployment.folder is None:
        _log.warning("run-config.folder: got none, so weights and rounds are written nowhere")
    attendance: list[int] = []
    start = deployment.network.init(deployment.seed)
    record = _record_in(deployment.folder) if deployment.folder else None
    with _selecting(deployment, f"flower-{context.run_id}", start) as end:
        run = server_app(
            deployment.strategy,
            start,
            deployment.rounds,
            train_config={
                "network": network_to_toml(deployment.network),
                "timeout": deployment.timeout,
            },
            evaluate=_watch(attendance, [call for call in (record, end) if call]),
            nodes=deployment.gateways,
            timeout=deployment.timeout + ON_THE_WAY,
        )
        run(grid, context)
    if not any(attendance):
        raise FleetError(
            f"run: expected updates of devices, got none in {len(attendance)} rounds; the lines "
            "'Left out node' above say why, and so do the logs of the gateways"
        )


@contextmanager
def _selecting(
    deployment: "Deployment", name: str, start: Floats
) -> Iterator[Callable[[Round], None] | None]:
    """Have the query choose; yield what writes a round's end into the graph, None without one."""
    if deployment.selection is None:
        yield None
        return
    with FleetGraph.open(deployment.graph) as graph:
        network, selection = deployment.network, deployment.selection
        model = graph.add_model(describe_network(network).to_graph())
        run = RunRecord(
            name, deployment.algorithm, deployment.seed, model, selection.name, selection.text
        )
        ledger = Ledger(graph, run, start, turns=known_rounds(graph), now=lambda: datetime.now(UTC))
        selector = Selector(
            graph, selection, deployment.per_round, deployment.seed, model, network.name
        )

        def tell(chosen: Chosen) -> None:
            ledger.choose(chosen)
            devices = ", ".join(map(str, sorted(chosen.numbers))) or "nobody"
            _log.info("Round %d: %s chose %s", chosen.round, selection.name, devices)

        deployment.strategy.choose = choose_devices(selector, tell)
        yield lambda end: None if end.tally is None else _end(ledger, end)


def _end(ledger: Ledger, end: Round) -> None:
    ledger.end(end.number, end.weights)


def _watch(
    attendance: list[int], records: Sequence[Callable[[Round], None]]
) -> Callable[[Round], None]:
    """Return what notes how many devices every round had, warns of none, and has it recorded."""

    def watch(end: Round) -> None:
        if end.tally is None:  # before the first round
            return
        attendance.append(end.tally.devices)
        if end.tally.devices == 0:
            _log.warning(
                "Round %d: no device gave an update; the weights stay as they are", end.number
            )
        for record in records:
            record(end)

    return watch


@dataclass(frozen=True)
class Deployment:
    """What a run config asks for.

    Attributes:
        network: what the devices train; it starts from `network.init(seed)`.
        strategy: how the server moves the weights.
        rounds: how many rounds.
        seed: seed of the first weights and of whatever devices draw.
        gateways: gateways to wait for before the first round.
        timeout: seconds that devices have for their answers in a round.
        folder: where weights and rounds are written; None for nowhere.
        algorithm: name of the strategy.
        selection: the query that chooses the devices of a round; None for all that are there.
        graph: what is asked: a directory, or the address of a SPARQL 1.1 endpoint.
        per_round: devices a round; 0 for all that the query finds.
    """

    network: Network
    strategy: MetaStrategy
    rounds: int
    seed: int
    gateways: int
    timeout: float
    folder: Path | None
    algorithm: str
    selection: Selection | None
    graph: str
    per_round: int


STRATEGIES = ("fedavg", "tinymetafed", "tinyreptile")
"""What `strategy` may say: those whose devices learn one sample at a time."""


def read_run_config(config: Mapping[str, Any]) -> Deployment:
    """Return the deployment that a run config describes.

    Raises:
        ConfigError: a setting is missing, of a wrong type or out of its range.
        NetworkError: there is no such network.
        TrainingError: the strategy refuses a setting.
        QueryError: there is no such query, or it cannot choose.
    """
    name = _text(config, "strategy")
    if name not in STRATEGIES:
        raise ConfigError(
            f"run-config.strategy: expected one of {', '.join(STRATEGIES)}, got {name!r}"
        )
    folder, select, graph = (_text(config, key) for key in ("folder", "select", "graph"))
    if bool(select) != bool(graph):
        missing, given = ("graph", "select") if select else ("select", "graph")
        raise ConfigError(
            f"run-config.{missing}: expected a value because {given} has one, got none; "
            "name the query that chooses and the graph that it is asked of"
        )
    return Deployment(
        network=_network(_text(config, "network")),
        strategy=_strategy(name, config),
        rounds=_whole(config, "rounds", 1),
        seed=_whole(config, "seed", 0),
        gateways=_whole(config, "gateways", 1),
        timeout=_positive(config, "timeout"),
        folder=Path(folder) if folder else None,
        algorithm=name,
        selection=read_selection(select) if select else None,
        graph=graph,
        per_round=_whole(config, "per-round", 0),
    )


def _strategy(name: str, config: Mapping[str, Any]) -> MetaStrategy:
    knobs = Knobs(
        training=Training(rate=_positive(config, "rate"), passes=_whole(config, "passes", 1)),
        seed=_whole(config, "seed", 0),
        step=_positive(config, "step"),
        share=_positive(config, "share"),
    )
    return build(ALGORITHMS[name], knobs)


def _network(name: str) -> Network:
    return named_network(name) if name in NETWORKS else load_network(name)


def _record_in(folder: Path) -> Callable[[Round], None]:
    """Return what writes every round into `folder`, which must not hold another run's.

    Raises:
        ConfigError: the folder cannot be made, or holds rounds already.
    """
    rounds = folder / ROUNDS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        rounds.touch(exist_ok=False)
    except OSError as error:
        raise ConfigError(
            f"run-config.folder: expected a folder without {ROUNDS} that can be written, got "
            f"{folder.absolute()}: {error.strerror or error}; name another"
        ) from None
    _log.info("Weights and rounds are written to %s", folder.absolute())

    def record(end: Round) -> None:
        tally = end.tally
        if tally is None:
            return
        if tally.devices:
            save_weights(folder / WEIGHTS, end.weights)
        line = {
            "round": end.number,
            "devices": tally.devices,
            "refused": tally.refused,
            "examples": tally.examples,
            "loss": tally.loss if math.isfinite(tally.loss) else None,
            "parameters_received": tally.received,
            "parameters_sent": tally.sent,
        }
        with rounds.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    return record


def _text(config: Mapping[str, Any], name: str) -> str:
    return str(_read(config, name, str, "a text in quotes", lambda _: True))


def _whole(config: Mapping[str, Any], name: str, least: int) -> int:
    expected = f"a whole number, {least} or more"
    return int(_read(config, name, int, expected, lambda value: value >= least))


def _positive(config: Mapping[str, Any], name: str) -> float:
    expected = "a finite number above 0"
    return float(_read(config, name, int | float, expected, lambda value: 0 < value < math.inf))


def _read(
    config: Mapping[str, Any], name: str, kind: Any, expected: str, good: Callable[[Any], bool]
) -> Any:
    value = config.get(name)
    if isinstance(value, bool) or not isinstance(value, kind) or not good(value):
        raise ConfigError(f"run-config.{name}: expected {expected}, got {value!r}")
    return value
