"""One round while it is open: whom to ask when, what to take, what is settled.

No clock and no network here: times are given, messages are made and judged.
"""

import hashlib
import heapq
import math
from collections import deque
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count

import cbor2
import numpy as np
from numpy.typing import NDArray

from tinyfleet.envelope import ConfigValue, assignment_to_config
from tinyfleet.follow import check_assignment, returned
from tinyfleet.messages import Assignment, Update
from tinyfleet.network import Network
from tinyfleet.payloads import Order, Refused, Report, network_id

FIRST_WAIT, LAST_WAIT = 5.0, 60.0
"""Seconds until a silent device is asked again, the first time and at most; they double."""


class Reason(StrEnum):
    """Why a message never reaches an aggregate."""

    MALFORMED = "malformed"
    NETWORK = "wrong-network"
    OLD_ROUND = "old-round"
    NOT_ASKED = "not-asked"
    ID = "wrong-id"
    DUPLICATE = "duplicate"
    LATE = "late"
    NOT_FINITE = "not-finite"
    LENGTH = "wrong-length"
    INDICES = "bad-indices"
    BY_GATEWAY = "refused-by-gateway"


@dataclass(frozen=True)
class _Work:
    """What an assignment asks, worked out once for all devices that share it."""

    assignment: Assignment
    config: dict[str, ConfigValue]
    weights: bytes = field(repr=False)
    digest: str
    places: NDArray[np.bool_] | None = field(repr=False)
    entries: int

    @staticmethod
    def of(network: Network, assignment: Assignment) -> "_Work":
        check_assignment(network, assignment)
        found, places, entries = returned(network, assignment), None, network.parameters
        if found is not None:
            places = np.zeros(network.parameters, np.bool_)
            places[found] = True
            entries = len(found)
        if assignment.share < 1.0:
            places = np.ones(network.parameters, np.bool_) if places is None else places
            entries = min(max(1, round(assignment.share * entries)), entries)
        weights = assignment.weights.astype("<f4", copy=False).tobytes()
        config = assignment_to_config(assignment)
        digest = hashlib.sha256(weights + cbor2.dumps(config)).hexdigest()[:12]
        return _Work(assignment, config, weights, digest, places, entries)

    def fault(self, update: Update) -> Reason | None:
        """Return why the content of `update` is not what was asked for."""
        if not math.isfinite(update.loss) or not np.isfinite(update.values).all():
            return Reason.NOT_FINITE
        if len(update.values) != self.entries:
            return Reason.LENGTH
        indices = update.indices
        if self.places is None or indices is None:
            return None if self.places is None and indices is None else Reason.INDICES
        if len(indices) != len(update.values):
            return Reason.LENGTH
        if not len(indices):
            return None
        inside = indices[0] >= 0 and indices[-1] < len(self.places)
        ascending = bool((indices[1:] > indices[:-1]).all())
        return None if inside and ascending and self.places[indices].all() else Reason.INDICES


@dataclass
class _Asked:
    """How it stands with one device."""

    id: str
    work: _Work
    due: float
    wait: float = FIRST_WAIT
    gateways: set[str] = field(default_factory=set)


class OpenRound:
    """What one call of `MqttFleet.run` has asked.

    Args:
        network: what is trained.
        assignments: who is asked what.
        run: first part of the ids of orders.
        token: last part of the ids; None for digits that change with what is asked.
        before: ids that were taken before; another report of theirs is a duplicate.
        now: seconds of any clock that never goes back.

    Raises:
        NetworkError: an assignment is not of this network.
    """

    def __init__(
        self,
        network: Network,
        assignments: Mapping[int, Assignment],
        *,
        run: str,
        token: str | None,
        before: Set[str],
        now: float,
    ) -> None:
        self._network_id = network_id(network)
        works: dict[int, _Work] = {}
        self._asked: dict[int, _Asked] = {}
        for device, assignment in assignments.items():
            if id(assignment) not in works:
                works[id(assignment)] = _Work.of(network, assignment)
            work = works[id(assignment)]
            id_ = f"{run}/{assignment.round}/{device}/{token or work.digest}"
            self._asked[device] = _Asked(id_, work, due=now)
        self.last_round = max((a.work.assignment.round for a in self._asked.values()), default=0)
        self._turn = deque(self._asked)
        self._settled: dict[int, Update | None] = {}
        self._taken: set[str] = set()
        self._before = before
        self._passed: set[int] = set()
        self._numbers = count()
        self._due = [(now, next(self._numbers), device) for device in self._asked]

    @property
    def taken(self) -> Set[str]:
        """The ids of what was taken."""
        return self._taken

    @property
    def ids(self) -> list[str]:
        """The ids of all orders."""
        return [asked.id for asked in self._asked.values()]

    @property
    def over(self) -> bool:
        """Whether nobody's turn is left."""
        return not self._turn

    def is_open(self, device: int) -> bool:
        """Whether `device` was asked and nothing is known of its answer yet."""
        return device in self._asked and device not in self._settled

    def ask_again(self, device: int, now: float) -> None:
        """Let `device` be asked now, when it is open."""
        if self.is_open(device):
            self._asked[device].wait = FIRST_WAIT
            self._schedule(device, now)

    def ask_all_again(self, now: float) -> None:
        """Let every open device be asked now."""
        self._due.clear()
        for device in self._asked:
            self.ask_again(device, now)

    def next_due(self) -> float:
        """Return when the next device has to be asked; infinity when nobody has to."""
        return self._due[0][0] if self._due else math.inf

    def due(self, now: float) -> Iterator[int]:
        """Yield the open devices whose time to be asked has come, each once."""
        while self._due and self._due[0][0] <= now:
            when, _, device = heapq.heappop(self._due)
            asked = self._asked[device]
            if when == asked.due and self.is_open(device):  # or it is due at another time by now
                asked.due = math.inf
                yield device

    def order(self, device: int, gateway: str, now: float) -> Order:
        """Return what to send to `device` through `gateway`; its next time is set."""
        asked = self._asked[device]
        asked.gateways.add(gateway)
        self._schedule(device, now + asked.wait)
        asked.wait = min(2 * asked.wait, LAST_WAIT)
        work = asked.work
        return Order(
            asked.id, device, work.assignment.round, self._network_id, work.weights, work.config
        )

    def _schedule(self, device: int, when: float) -> None:
        self._asked[device].due = when
        heapq.heappush(self._due, (when, next(self._numbers), device))

    def may_answer(self, device: int, gateway: str) -> None:
        """Let `gateway` answer for `device`, as if its order had gone there."""
        if device in self._asked:
            self._asked[device].gateways.add(gateway)

    def fault(self, report: Report, gateway: str | None = None) -> Reason | None:
        """Return why `report` must not be taken; None when it may be.

        Args:
            report: what came.
            gateway: through whom; None when it was judged before.
        """
        asked = self._asked.get(report.device)
        answers = asked is not None and report.id == asked.id
        if report.id in self._taken or (report.id in self._before and not answers):
            return Reason.DUPLICATE
        if asked is not None and report.round != asked.work.assignment.round:
            return Reason.OLD_ROUND
        if asked is None or (gateway is not None and gateway not in asked.gateways):
            return Reason.NOT_ASKED
        if not answers:
            return Reason.ID
        if report.device in self._passed:
            return Reason.LATE
        if report.network != self._network_id:
            return Reason.NETWORK
        return asked.work.fault(report.update())

    def take(self, report: Report) -> None:
        """Settle the device of `report`, in which there is no fault, with its update."""
        self._taken.add(report.id)
        self._settled[report.device] = report.update()

    def refused(self, refused: Refused, gateway: str) -> Reason | None:
        """Settle the device that will not follow its order; return why not, when it is not so."""
        asked = self._asked.get(refused.device)
        if asked is None or gateway not in asked.gateways:
            return Reason.NOT_ASKED
        if refused.id != asked.id:
            return Reason.ID
        if not self.is_open(refused.device):
            return Reason.LATE
        self.give_up(refused.device)
        return None

    def give_up(self, device: int) -> None:
        """Settle `device` without an update; one that still comes before its turn is taken."""
        if self.is_open(device):
            self._settled[device] = None

    def give_up_all(self) -> None:
        """Settle everybody."""
        for device in self._turn:
            self.give_up(device)

    def ready(self) -> Iterator[Update]:
        """Yield the updates of those who are settled, and everybody before them, in their order."""
        while self._turn and self._turn[0] in self._settled:
            device = self._turn.popleft()
            self._passed.add(device)
            update = self._settled[device]
            self._settled[device] = None
            if update is not None:
                yield update
