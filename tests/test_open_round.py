"""A round asks as often as it says, however often it is told to."""

from tinyfleet import Assignment, Training, named_network
from tinyfleet.open_round import FIRST_WAIT, OpenRound, Reason
from tinyfleet.payloads import Refused

SINE = named_network("sine")
ASK = Assignment(1, SINE.init(0), Training(rate=0.01))


def opened() -> OpenRound:
    return OpenRound(SINE, {7: ASK}, run="run", token="t", before=frozenset(), now=0.0)


def orders(round_: OpenRound, now: float) -> int:
    """Send what is due and return how many orders that were."""
    return len([round_.order(device, "gw-1", now) for device in round_.due(now)])


def test_a_device_that_is_born_many_times_is_asked_once() -> None:
    round_ = opened()
    first = orders(round_, 0.0)
    for _ in range(3):
        round_.ask_again(7, 1.0)

    assert (first, orders(round_, 1.0)) == (1, 1)
    assert orders(round_, FIRST_WAIT) == 0  # the wait has begun anew
    assert orders(round_, 1.0 + FIRST_WAIT) == 1


def test_a_refusal_after_the_answer_changes_nothing() -> None:
    round_ = opened()
    orders(round_, 0.0)
    (id_,) = round_.ids
    refused = Refused(id_, 7, 1, "too large")

    assert round_.refused(refused, "gw-1") is None
    assert round_.refused(refused, "gw-1") is Reason.LATE
