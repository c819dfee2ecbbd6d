"""A strategy run to its end: as a Flower server app, or right here on a fleet's grid."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, ConfigRecordValues, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import Strategy

from tinyfleet.errors import NetworkError, TrainingError
from tinyfleet.mean import Tally
from tinyfleet.messages import Floats
from tinyfleet.server.strategy import MetaStrategy, from_arrays, to_arrays

LONGEST_ROUND = 3600.0
"""Seconds after which a round ends with what has come, unless told otherwise; Flower's own."""

_log = logging.getLogger("flwr")


@dataclass(frozen=True)
class Round:
    """How things stand at the end of a round.

    Attributes:
        number: the round; the first time, the one before the first.
        weights: the weights after it, `(parameters,)` float32; not to be written to.
        tally: what the round took in; None before the first, and with strategies of others.
    """

    number: int
    weights: Floats = field(repr=False)
    tally: Tally | None


Evaluate = Callable[[Round], Mapping[str, float] | None]


def server_app(
    strategy: Strategy,
    initial_weights: Floats,
    rounds: int,
    *,
    train_config: Mapping[str, ConfigRecordValues] | None = None,
    evaluate: Evaluate | None = None,
    nodes: int = 1,
    timeout: float = LONGEST_ROUND,
) -> ServerApp:
    """Return the server app that runs `strategy`, for Flower's engines and its SuperLink.

    The final weights reach `evaluate` in its last call and lie in the context's state under
    "arrays".

    Args:
        strategy: one of tinyfleet's, or any other that trains one array named "weights".
        initial_weights: where to start, `(parameters,)` float32, finite.
        rounds: how many rounds.
        train_config: what nodes are told besides, which is all that strategies of others tell.
        evaluate: called before the first round and after each; what it returns is logged.
        nodes: nodes to wait for before the first round, for they connect while the app starts.
        timeout: seconds that the nodes have for a round; then it ends with what has come.

    Raises:
        NetworkError: the initial weights are no finite float32 vector.
        TrainingError: there are no rounds.
    """
    _check(initial_weights, rounds)
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        _wait_for(grid, nodes)
        context.state["arrays"] = _start(
            grid, strategy, initial_weights, rounds, train_config, evaluate, timeout
        )

    return app


def run(
    grid: Grid,
    strategy: Strategy,
    initial_weights: Floats,
    rounds: int,
    *,
    train_config: Mapping[str, ConfigRecordValues] | None = None,
    evaluate: Evaluate | None = None,
) -> Floats:
    """Run `strategy` on `grid` and return the final weights, `(parameters,)` float32.

    Arguments and errors are those of `server_app`. Flower's log of every round is
    held back meanwhile, except for warnings; `evaluate` hears of each.
    """
    _check(initial_weights, rounds)
    with _quiet():
        return from_arrays(_start(grid, strategy, initial_weights, rounds, train_config, evaluate))


def _start(
    grid: Grid,
    strategy: Strategy,
    initial_weights: Floats,
    rounds: int,
    train_config: Mapping[str, ConfigRecordValues] | None,
    evaluate: Evaluate | None,
    timeout: float = LONGEST_ROUND,
) -> ArrayRecord:
    initial = to_arrays(initial_weights)
    result = strategy.start(
        grid,
        initial,
        num_rounds=rounds,
        timeout=timeout,
        train_config=ConfigRecord({**(train_config or {})}),
        evaluate_fn=None if evaluate is None else _listen(strategy, evaluate),
    )
    # Flower leaves the arrays empty when no round changed them.
    return result.arrays if len(result.arrays) else initial


def _listen(
    strategy: Strategy, evaluate: Evaluate
) -> Callable[[int, ArrayRecord], MetricRecord | None]:
    ours = strategy if isinstance(strategy, MetaStrategy) else None
    before = ours.settings.first_round - 1 if ours else 0

    def listen(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
        tally = ours.tally if ours and server_round > 0 else None
        metrics = evaluate(Round(server_round + before, from_arrays(arrays), tally))
        return None if metrics is None else MetricRecord({**metrics})

    return listen


def _check(weights: Floats, rounds: int) -> None:
    if weights.ndim != 1 or weights.dtype != np.float32 or not np.isfinite(weights).all():
        raise NetworkError(
            "initial_weights: expected one vector of finite float32, got "
            f"{weights.dtype} {weights.shape}"
        )
    if rounds < 1:
        raise TrainingError(f"rounds: expected at least 1, got {rounds}")


def _wait_for(grid: Grid, nodes: int) -> None:
    before = -1
    while (connected := len(list(grid.get_node_ids()))) < nodes:
        if connected != before:
            _log.info("Waiting for nodes: %d of %d connected", connected, nodes)
        before = connected
        time.sleep(0.2)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what Flower logs below a warning, and put its level back afterwards."""
    level = _log.level
    _log.setLevel(max(level, logging.WARNING))
    try:
        yield
    finally:
        _log.setLevel(level)
