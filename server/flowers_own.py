"""Flower's own strategies, unmodified, set to ask every node once a round or a sample of them."""

from collections.abc import Callable

from flwr.serverapp.strategy import FedAdam, FedAvg, FedMedian, Krum, Strategy

__all__ = ["Strategy", "flowers_own"]

_KINDS: dict[str, Callable[..., Strategy]] = {
    "flower-fedadam": FedAdam,
    "flower-fedavg": FedAvg,
    "flower-fedmedian": FedMedian,
    "flower-krum": Krum,
}


def flowers_own(name: str, nodes: int, per_round: int) -> Strategy:
    """Return Flower's strategy called `name`, one of flower-fedavg, -fedadam, -fedmedian, -krum.

    It draws its nodes with Python's global generator; whoever wants the same run again seeds that.

    Args:
        name: which.
        nodes: nodes of the grid.
        per_round: nodes to ask in a round, 1..nodes.
    """
    return _KINDS[name](
        fraction_train=per_round / nodes,
        fraction_evaluate=0.0,
        min_train_nodes=per_round,
        min_available_nodes=per_round,
    )
