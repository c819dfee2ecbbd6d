"""The outbox: nothing that was taken or learned is lost, and nothing is followed twice."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tinyfleet.client.outbox import Answer, Asked, Outbox
from tinyfleet.errors import FleetError


def asked(number: int) -> Asked:
    return Asked(f"run/1/{number}", number, 1, b"order %d" % number)


def update(number: int) -> Answer:
    return Answer(f"run/1/{number}", number, "update", b"update %d" % number)


def test_an_order_is_taken_once(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")

    first = outbox.take([asked(1), asked(2)])
    again = outbox.take([asked(2), asked(3)])

    assert (first, again) == ([asked(1), asked(2)], [asked(3)])
    outbox.close()


def test_an_order_is_not_followed_again_when_its_update_is_acknowledged(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    outbox.take([asked(1)])
    outbox.answer([update(1)])
    outbox.acknowledge([update(1).id])
    outbox.close()

    outbox = Outbox(tmp_path / "outbox.sqlite")

    assert outbox.take([asked(1)]) == []
    assert outbox.answer_to(update(1).id) is None
    assert (outbox.asked, outbox.answered, outbox.bytes) == (0, 0, 0)
    outbox.close()


def test_the_first_answer_stays(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    outbox.take([asked(1)])
    outbox.answer([update(1)])

    other = outbox.answer([Answer(update(1).id, 1, "update", b"another")])
    unasked = outbox.answer([update(9)])

    assert (other, unasked) == ([], [])
    assert outbox.answer_to(update(1).id) == update(1)
    outbox.close()


def test_a_refusal_waits_for_nobody_and_is_told_again(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    outbox.take([asked(1)])
    refusal = Answer(asked(1).id, 1, "refusal", b"no")

    outbox.answer([refusal])

    assert outbox.unacknowledged() == []
    assert outbox.answer_to(refusal.id) == refusal
    outbox.close()


def test_what_waits_comes_back_in_order(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    outbox.take([asked(n) for n in (5, 3, 4, 1)])
    outbox.answer([update(3), update(5)])
    outbox.close()

    outbox = Outbox(tmp_path / "outbox.sqlite")

    assert list(outbox.unanswered()) == [asked(4), asked(1)]
    assert outbox.unacknowledged() == [update(5).id, update(3).id]
    assert outbox.bytes == sum(
        len(part.payload) for part in (asked(4), asked(1), update(3), update(5))
    )
    outbox.close()


def test_the_oldest_that_are_done_go_first_and_what_waits_never_goes(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite", most_done=2)
    outbox.take([asked(n) for n in range(6)])
    outbox.answer([update(n) for n in range(1, 6)])

    outbox.acknowledge([update(n).id for n in range(1, 5)])

    assert [order.device for order in outbox.take([asked(n) for n in range(6)])] == [1, 2]
    assert outbox.unacknowledged() == [update(5).id]
    outbox.close()


# Learns 200 things in transactions of 5, says after each that they are on disk, and is killed.
_WRITER = """
import sys
from pathlib import Path
from tinyfleet.client.outbox import Answer, Asked, Outbox
outbox = Outbox(Path(sys.argv[1]))
for first in range(0, 100_000, 5):
    some = range(first, first + 5)
    outbox.take([Asked(f"run/1/{n}", n, 1, b"order" * 900) for n in some])
    outbox.answer([Answer(f"run/1/{n}", n, "update", b"update %d" % n) for n in some])
    print(first + 4, flush=True)
"""


def test_what_was_committed_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    for _ in range(20):
        writer.stdout.readline()

    writer.send_signal(signal.SIGKILL)
    promised = [int(line) for line in writer.stdout]
    writer.wait()
    writer.stdout.close()

    outbox = Outbox(path)
    kept = outbox.unacknowledged()
    last = max(promised, default=99)
    assert kept[: last + 1] == [f"run/1/{n}" for n in range(last + 1)]
    assert len(kept) % 5 == 0
    assert outbox.answer_to(kept[-1]) == update(len(kept) - 1)
    outbox.close()


@pytest.mark.parametrize("damage", [b"no database at all, but text", b""])
def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "outbox.sqlite"
    outbox = Outbox(path)
    outbox.take([asked(n) for n in range(500)])
    outbox.close()
    broken = damage or path.read_bytes()[:4096] + os.urandom(4096) + path.read_bytes()[8192:]
    path.write_bytes(broken)

    with pytest.raises(FleetError, match=r"outbox.sqlite: expected a sound SQLite file"):
        Outbox(path)

    assert path.read_bytes() == broken


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE recipes (name TEXT)")
    other.commit()
    other.close()

    with pytest.raises(FleetError, match="expected an outbox of version 1, got a database"):
        Outbox(path)


def test_two_daemons_cannot_share_an_outbox(tmp_path: Path) -> None:
    mine = Outbox(tmp_path / "outbox.sqlite")
    began = time.monotonic()

    with pytest.raises(FleetError, match="got one that another daemon uses"):
        Outbox(tmp_path / "outbox.sqlite")

    assert time.monotonic() - began < 60
    mine.close()


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(FleetError, match="expected a folder that can be made"):
        Outbox(tmp_path / "file" / "outbox.sqlite")
