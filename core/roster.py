"""Which devices live, by what their gateways say of them.

A retained birth may be older than its gateway's death, so a death is remembered by its session;
only a birth that has just been published brings that session back.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tinyfleet.payloads import Birth, Death, State
from tinyfleet.topics import GATEWAY, Topic


@dataclass(frozen=True)
class Attached:
    """Where a device is.

    Attributes:
        gateway: the gateway's name.
        session: the gateway's session that announced it.
    """

    gateway: str
    session: str


class Roster:
    """Devices and their gateways. No clock, no network: what it is told is all it knows.

    >>> roster = Roster()
    >>> at = Topic("lab", "gw-1", "7", "birth")
    >>> roster.birth(at, Birth(7, "s1", "serial", {}), retained=False), roster.living()
    (True, [7])
    >>> roster.death(Topic("lab", "gw-1", "_", "death"), Death("s1", "power")), roster.living()
    ([7], [])
    """

    def __init__(self) -> None:
        self._attached: dict[int, Attached] = {}
        self._absent: set[int] = set()
        self._doubtful: set[int] = set()
        self._ended: set[Attached] = set()

    def living(self) -> list[int]:
        """Return the devices that can be asked, ascending."""
        return sorted(self._attached.keys() - self._absent)

    def lives(self, device: int) -> bool:
        """Whether `device` can be asked."""
        return device in self._attached and device not in self._absent

    def gateway_of(self, device: int) -> str | None:
        """Return the gateway that `device` is attached to; None when there is none."""
        attached = self._attached.get(device)
        return attached.gateway if attached else None

    def birth(self, topic: Topic, birth: Birth, *, retained: bool) -> bool:
        """Take a device in; return whether it has to be asked again what it was asked before."""
        now = Attached(topic.gateway, birth.session)
        before = self._attached.get(birth.device)
        if retained:
            elsewhere = before is not None and before.gateway != now.gateway
            if now in self._ended or (elsewhere and birth.device not in self._doubtful):
                return False
        else:
            self._ended.discard(now)
            self._absent.discard(birth.device)
        self._attached[birth.device] = now
        self._doubtful.discard(birth.device)
        return before != now or not retained

    def unborn(self, topic: Topic) -> list[int]:
        """Forget the device whose birth was cleared at `topic`; return it when it lived."""
        attached = self._attached.get(topic.number)
        if attached is None or attached.gateway != topic.gateway:
            return []
        return self._remove([topic.number])

    def death(self, topic: Topic, death: Death) -> list[int]:
        """Forget whom `death` ends, and return them: one device, or all of a gateway's session."""
        ended = Attached(topic.gateway, death.session)
        if topic.device != GATEWAY:
            return self._remove(d for d in (topic.number,) if self._attached.get(d) == ended)
        self._ended.add(ended)
        return self._remove([d for d, where in self._attached.items() if where == ended])

    def undead(self, topic: Topic) -> None:
        """Forget the deaths of a gateway that has cleared them: it is back."""
        if topic.device == GATEWAY:
            self._ended = {ended for ended in self._ended if ended.gateway != topic.gateway}

    def state(self, topic: Topic, state: State) -> bool:
        """Note whether a gateway can reach its device; return whether it can again."""
        attached = self._attached.get(state.device)
        if attached is not None and attached.gateway != topic.gateway:
            return False
        if state.state == "absent":
            self._absent.add(state.device)
            return False
        back = state.device in self._absent
        self._absent.discard(state.device)
        return back

    def doubt(self) -> None:
        """Doubt everybody: the broker was away, and with it the news of deaths."""
        self._doubtful = set(self._attached)

    def drop_doubtful(self) -> list[int]:
        """Forget, and return, those who have not announced themselves since `doubt`."""
        return self._remove(list(self._doubtful))

    def _remove(self, devices: Iterable[int]) -> list[int]:
        removed = list(devices)
        for device in removed:
            self._attached.pop(device, None)
            self._doubtful.discard(device)
        return removed
