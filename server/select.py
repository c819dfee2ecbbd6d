"""Who trains in a round: what a SPARQL query over the fleet's graph answers.

A selection is any SELECT that binds `?device`; the order of its rows is the order of preference.
Where it binds `?group`, say the gateway or the room, places are shared out among the groups: as
evenly as the round can be filled, or at most `?quota` for each where it binds that, too. The
variables of `VARIABLES` are bound where the query uses them.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rdflib import Literal, URIRef

from tinyfleet.errors import QueryError
from tinyfleet.ontology.graph import FleetGraph, Row
from tinyfleet.ontology.guard import guard
from tinyfleet.ontology.queries import Term
from tinyfleet.ontology.tokens import VARIABLE, tokens
from tinyfleet.ontology.vocabulary import INDEX, TF
from tinyfleet.server.selections import named_selections, selection_text
from tinyfleet.server.strategy import Choice, Choose

VARIABLES: Mapping[str, str] = {
    "round": "number of the round",
    "count": "how many devices the round asks",
    "seed": "seed of the run",
    "model": "IRI of the model that is trained",
    "network": "name of the network that is trained",
}
"""What a selection may use, and what it is bound to."""

_MARGIN = 100  # rows read beyond those asked for, before all are
_ALL = 2**31

_NUMBERS = f"SELECT ?device ?number {{ GRAPH {INDEX.n3()} {{ ?device {TF.number.n3()} ?number }} }}"


@dataclass(frozen=True)
class Selection:
    """A query that chooses who trains.

    Attributes:
        name: what it is called: a name of the library, or a path.
        text: its SPARQL.
    """

    name: str
    text: str = field(repr=False)


@dataclass(frozen=True)
class Candidate:
    """A row of a selection's answer.

    Attributes:
        device: IRI of the device.
        group: what its places are shared with; "" where nothing is shared.
        quota: most devices of the group; None where they are shared out evenly.
    """

    device: str
    group: str = ""
    quota: int | None = None


@dataclass(frozen=True)
class Chosen:
    """Who trains in a round.

    Attributes:
        round: its number.
        numbers: the devices' numbers in the fleet, in the order of the answer.
        devices: their IRIs, in the same order.
        passed: those of the answer that were looked at and are not in the round, and why.
    """

    round: int
    numbers: tuple[int, ...]
    devices: tuple[str, ...]
    passed: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Selector:
    """Asks a graph who trains.

    Attributes:
        graph: what is asked.
        selection: the query.
        count: devices a round; 0 for all that the query finds.
        seed: seed of the run.
        model: IRI of the model that is trained; "" where the graph has none.
        network: name of the network.
        fleet: the only fleet whose devices count; "" for all of the graph.
    """

    graph: FleetGraph
    selection: Selection
    count: int
    seed: int = 0
    model: str = ""
    network: str = ""
    fleet: str = ""

    def choose(self, round_number: int, available: Container[int]) -> Chosen:
        """Return who trains in round `round_number`, of the devices whose numbers are `available`.

        The same graph gives the same answer.

        Raises:
            QueryError: the query fails, binds no `?device`, or binds a `?quota` that is no number.
        """
        chosen = None
        if self.count:
            chosen = self._choose(round_number, available, 2 * self.count + _MARGIN)
        if chosen is None:
            chosen = self._choose(round_number, available, _ALL)
        assert chosen is not None
        return chosen

    def _choose(self, round_number: int, available: Container[int], rows: int) -> Chosen | None:
        """Return who trains, or None where the first `rows` of the answer are not enough to say."""
        found = self.graph.select(self.selection.text, self._bindings(round_number), limit=rows)
        candidates = list(_candidates(self.selection.name, found.variables, found.rows))
        count = self.count or len(candidates)
        gone: dict[str, str] = {}
        while True:
            # Those who turn out not to be there make room for others, until all are there.
            left = [c for c in candidates if c.device not in gone] if gone else candidates
            passed = dict(gone)
            taken, sure = share_out(left, count, passed)
            if found.more and not sure:
                return None
            devices = tuple(candidate.device for candidate in taken)
            numbers = self._numbers(devices)
            absent = {d: _absence(numbers.get(d), available) for d in devices}
            new = {device: why for device, why in absent.items() if why}
            if not new:
                return Chosen(round_number, tuple(numbers[d] for d in devices), devices, passed)
            gone.update(new)

    def _bindings(self, round_number: int) -> Mapping[str, Term]:
        used = {t.text[1:] for t in tokens(self.selection.text) if t.kind == VARIABLE}
        values: dict[str, Term | None] = {
            "round": Literal(round_number),
            "count": Literal(self.count),
            "seed": Literal(self.seed),
            "model": URIRef(self.model) if self.model else None,
            "network": Literal(self.network),
        }
        return {name: term for name, term in values.items() if name in used and term is not None}

    def _numbers(self, devices: Sequence[str]) -> Mapping[str, int]:
        if not devices:
            return {}
        bound = {"device": [URIRef(device) for device in devices]}
        rows = self.graph.select(_NUMBERS, bound, limit=_ALL).rows
        prefix = f"urn:tinyfleet:{self.fleet}:" if self.fleet else ""
        return {
            str(device): int(str(number))
            for device, number in rows
            if str(device).startswith(prefix)
        }


def read_selection(name: str) -> Selection:
    """Return the selection of this name, or in the `.rq` file at this path.

    Raises:
        QueryError: there is none, or it is no SELECT that binds `?device`, or it is not allowed.
    """
    if name in named_selections():
        return Selection(name, selection_text(name))
    if not name.endswith(".rq"):
        known = ", ".join(named_selections())
        raise QueryError(f"select: expected one of {known}, or a .rq file, got {name!r:.80}")
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise QueryError(f"{name}: expected a query that can be read, got {error}") from None
    check_selection(Selection(name, text))
    return Selection(name, text)


def check_selection(selection: Selection) -> None:
    """Refuse a query that cannot choose, before anything is asked.

    Raises:
        QueryError: it is no SELECT that binds `?device`, or it is not allowed.
    """
    try:
        guard(selection.text)
        with FleetGraph.open() as empty:
            variables = empty.select(selection.text).variables
    except QueryError as error:
        raise QueryError(f"{selection.name}: {error}") from None
    _check_variables(selection.name, variables)


def choose_nodes(
    selector: Selector,
    devices: Callable[[], Sequence[int]],
    tell: Callable[[Chosen], None],
) -> Choose:
    """Return what chooses the nodes of a grid each of whose nodes is one device.

    Args:
        selector: asks the graph.
        devices: the numbers of the devices that the grid's nodes stand for, ascending.
        tell: hears who was chosen.
    """

    def choose(round_number: int, nodes: Sequence[int]) -> Choice:
        present = devices()
        chosen = selector.choose(round_number, _container(present))
        if not chosen.numbers:
            raise QueryError(
                f"{selector.selection.name}: round {round_number}: expected at least one of "
                f"{len(nodes)} devices, got none; they are offline, or the model does not fit them"
            )
        tell(chosen)
        if isinstance(present, range) and present.start == 0 and present.step == 1:
            return Choice(sorted(chosen.numbers))
        places = {device: place for place, device in enumerate(present)}
        return Choice(sorted(places[number] for number in chosen.numbers))

    return choose


def choose_devices(selector: Selector, tell: Callable[[Chosen], None]) -> Choose:
    """Return what chooses devices behind nodes that stand for gateways; all nodes are told.

    A round for which the query finds nobody asks nobody: devices may come back.
    """

    def choose(round_number: int, nodes: Sequence[int]) -> Choice:
        chosen = selector.choose(round_number, _Everyone())
        tell(chosen)
        return Choice(nodes if chosen.numbers else (), sorted(chosen.numbers))

    return choose


def share_out(
    candidates: Sequence[Candidate], count: int, passed: dict[str, str]
) -> tuple[Sequence[Candidate], bool]:
    """Return the first `count` candidates that the quotas of their groups let through.

    With them comes whether further candidates, behind these, would have changed nothing.

    Args:
        candidates: in the order of preference.
        count: how many places there are.
        passed: takes the IRIs of the others, and why.
    """
    even = _even_quota(candidates, count)
    taken: list[Candidate] = []
    of_group: Counter[str] = Counter()
    shared = False
    for candidate in candidates:
        most = even if candidate.quota is None else candidate.quota
        shared = shared or bool(candidate.group and candidate.quota is None)
        if len(taken) == count:
            passed[candidate.device] = "the round was full before its turn"
        elif candidate.group and of_group[candidate.group] >= most:
            passed[candidate.device] = (
                f"{candidate.group.rpartition(':')[2]} had its share of the round: {most}"
            )
        else:
            of_group[candidate.group] += 1
            taken.append(candidate)
    # More groups could lower an even quota, unless it is 1 already.
    return taken, len(taken) == count and (even == 1 or not shared)


def _even_quota(candidates: Sequence[Candidate], count: int) -> int:
    """Return the smallest number of places a group that fills `count`, or lets everybody in."""
    sizes = Counter(c.group for c in candidates if c.quota is None)
    quota, wanted = 1, min(count, sizes.total())
    while sum(min(quota, size) for size in sizes.values()) < wanted:
        quota += 1
    return quota


def _absence(number: int | None, available: Container[int]) -> str:
    """Return why a device cannot be asked; "" where it can."""
    if number is None:
        return "it is no device of this fleet"
    return "" if number in available else "it cannot be reached now"


def _candidates(name: str, variables: Sequence[str], rows: Sequence[Row]) -> Iterator[Candidate]:
    """Yield the rows of an answer, each device once; a row without a device is left out."""
    _check_variables(name, variables)
    places = {variable: i for i, variable in enumerate(variables)}
    seen: set[str] = set()
    for row in rows:
        device = row[places["device"]]
        iri = str(device)
        if not isinstance(device, URIRef) or iri in seen:
            continue
        seen.add(iri)
        group = row[places["group"]] if "group" in places else None
        quota = row[places["quota"]] if "quota" in places else None
        yield Candidate(iri, "" if group is None else str(group), _whole(name, quota))


def _whole(name: str, quota: object) -> int | None:
    if quota is None:
        return None
    try:
        number = int(float(str(quota)))
    except (ValueError, OverflowError):
        raise QueryError(f"{name}: ?quota: expected a number, got {str(quota)!r:.80}") from None
    return number


def _check_variables(name: str, variables: Sequence[str]) -> None:
    if "device" not in variables:
        told = ", ".join(f"?{variable}" for variable in variables) or "no variable"
        raise QueryError(f"{name}: expected a SELECT that binds ?device, got {told}")


def _container(devices: Sequence[int]) -> Container[int]:
    return devices if isinstance(devices, range) else frozenset(devices)


class _Everyone:
    """Holds every number: who is there is for the gateways to say."""

    def __contains__(self, number: object) -> bool:
        return True
