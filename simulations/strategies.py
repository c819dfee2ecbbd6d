"""Strategies of a study by name: our algorithms, Flower's own, or a researcher's file."""

from dataclasses import fields
from typing import TYPE_CHECKING

from tinyfleet.errors import StudyError
from tinyfleet.server.algorithms import ALGORITHMS, Algorithm, Knobs, build
from tinyfleet.simulations.own_file import asking, is_own, load_own
from tinyfleet.simulations.study import Study

if TYPE_CHECKING:
    from tinyfleet.server.flowers_own import Strategy

PARALLEL = "tinyreptile-parallel"
"""TinyReptile, every device every round."""

FLOWERS = ("flower-fedavg", "flower-fedadam", "flower-fedmedian", "flower-krum")
STRATEGIES = (*ALGORITHMS, PARALLEL, *FLOWERS)


def find_algorithm(strategy: str) -> Algorithm | None:
    """Return the algorithm of a strategy, by name or by the path of a file; None for Flower's own.

    Raises:
        StudyError: there is none of this name, or the file holds none, or one with a name of ours
            or that reads what is no knob.
    """
    if is_own(strategy):
        found = load_own(strategy, "ALGORITHM", Algorithm)
        if found.name in STRATEGIES:
            raise StudyError(
                f"{strategy}: ALGORITHM: expected another name than {', '.join(STRATEGIES)}, "
                f"which are taken, got {found.name!r}"
            )
        for name in found.reads:
            if name not in _READABLE:
                raise StudyError(
                    f"{strategy}: ALGORITHM: reads: expected some of "
                    f"{', '.join(sorted(_READABLE))}, got {name!r}; mend its name"
                )
        return found
    if strategy not in STRATEGIES:
        raise StudyError(
            f"strategy: expected one of {', '.join(STRATEGIES)}, or a .py file, "
            f"got {strategy[:60]!r}"
        )
    return None if strategy in FLOWERS else ALGORITHMS[strategy.removesuffix("-parallel")]


def strategy_name(strategy: str) -> str:
    """Return what results and reports call a strategy."""
    found = find_algorithm(strategy) if is_own(strategy) else None
    return found.name if found else strategy


def keys_read(strategy: str) -> tuple[str, ...]:
    """Return the keys of a study that a strategy reads and that others may not."""
    found = find_algorithm(strategy)
    return (*found.reads, *_READ_BY_OURS) if found else ()


def build_strategy(study: Study, per_round: int, nodes: int, first_round: int) -> "Strategy":
    """Return the strategy of `study`, ready for Flower.

    Args:
        study: what it is told.
        per_round: nodes that it asks in a round; 0 for all.
        nodes: how many there are.
        first_round: number of its first round; Flower's own always start at 1.

    Raises:
        FleetError: the study does not fit the algorithm.
    """
    found = find_algorithm(study.strategy)
    if found is None:
        from tinyfleet.server.flowers_own import flowers_own  # Flower takes a while to load

        return flowers_own(study.strategy, nodes, study.per_round or nodes)
    said = {name: value for name, value in vars(study).items() if name in _KNOBS}
    knobs = Knobs(**{**said, "per_round": per_round, "first_round": first_round})
    with asking(study.strategy, "ALGORITHM"):
        return build(found, knobs)


_READ_BY_OURS = ("encoding", "encoding_down")
_KNOBS = frozenset(knob.name for knob in fields(Knobs))
_READABLE = {key for one in ALGORITHMS.values() for key in one.reads} | _KNOBS
