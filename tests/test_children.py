"""Children end together, and in order."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tinyfleet.children import MOST_LOG_BYTES, Children, last_words
from tinyfleet.errors import ConfigError, FleetError

SLEEP = [sys.executable, "-c", "import time; time.sleep(1000)"]
SAYS_WHEN_ASKED_TO_STOP = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('told', time.monotonic(), flush=True)))
print('ready', flush=True)
time.sleep(1000)
"""


def says(path: Path, word: str) -> bool:
    return word in path.read_text()


def told(path: Path) -> float:
    return float(path.read_text().split()[-1])


def test_a_signal_stops_all_children_the_last_one_first(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Children(tmp_path, "a test") as children:
        for name in ("first", "second"):
            children.start(name, [sys.executable, "-c", SAYS_WHEN_ASKED_TO_STOP])
            assert children.wait_until(name, partial(says, tmp_path / f"{name}.log", "ready"))
        os.kill(os.getpid(), signal.SIGTERM)
        children.supervise()

    assert told(tmp_path / "second.log") < told(tmp_path / "first.log")
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_child_that_ends_is_named_with_its_last_words(tmp_path: Path) -> None:
    with Children(tmp_path, "a test") as children:
        children.start("long", SLEEP)
        children.start("short", [sys.executable, "-c", "print('alas'); raise SystemExit(3)"])
        with pytest.raises(FleetError, match=r"^short: expected it to run, got exit 3 \(alas\)"):
            children.supervise()


def test_a_child_that_ends_before_it_is_ready_is_not_waited_for(tmp_path: Path) -> None:
    with Children(tmp_path, "a test") as children:
        children.start("short", [sys.executable, "-c", ""])
        with pytest.raises(FleetError, match=r"^short: expected it to run, got exit 0"):
            children.wait_until("short", lambda: False)


def test_a_signal_ends_the_wait_for_a_child(tmp_path: Path) -> None:
    with Children(tmp_path, "a test") as children:
        children.start("long", SLEEP)
        os.kill(os.getpid(), signal.SIGINT)
        assert not children.wait_until("long", lambda: False)


def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match=r"^gone: expected to start no-such-program, got No such"):
        Children(tmp_path, "a test").start("gone", ["no-such-program"])


def test_programs_beside_this_python_are_found_first(tmp_path: Path) -> None:
    command = ["python", "-c", "import sys; print(sys.executable)"]
    with Children(tmp_path, "a test") as children:
        children.start("python", command, {"PATH": "/nowhere"})
        with pytest.raises(FleetError, match="got exit 0"):
            children.supervise()

    found = Path((tmp_path / "python.log").read_text().splitlines()[-1])
    assert found.parent == Path(sys.executable).parent


@pytest.mark.parametrize("end", ["wait", "exit 3"], ids=["stopped", "ended by itself"])
def test_what_a_child_has_started_does_not_outlive_it(tmp_path: Path, end: str) -> None:
    own = tmp_path / "own"
    subprocess.run(["mkfifo", own], check=True)
    # Whoever has the other end open can be seen from here: reading ends when nobody has.
    reader = os.open(own, os.O_RDONLY | os.O_NONBLOCK)
    script = f"sleep 1000 > {own} & echo ready; sleep 0.2; {end}"
    with Children(tmp_path, "a test") as children:
        children.start("parent", ["sh", "-c", script])
        assert children.wait_until("parent", partial(says, tmp_path / "parent.log", "ready"))
        if end != "wait":
            with pytest.raises(FleetError, match="got exit 3"):
                children.supervise()

    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_a_folder_has_one_command_and_its_logs_are_left_alone(tmp_path: Path) -> None:
    with Children(tmp_path, "tinyfleet serve") as children:
        children.start("long", SLEEP)
        before = (tmp_path / "long.log").read_bytes()
        with (
            pytest.raises(ConfigError, match=rf"another tinyfleet serve \(process {os.getpid()}\)"),
            Children(tmp_path, "tinyfleet client up"),
        ):
            pass
        assert (tmp_path / "long.log").read_bytes() == before


def test_a_folder_is_free_once_its_command_was_killed(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, tinyfleet.children as c\n"
        "with c.Children(pathlib.Path(sys.argv[1]), 'the first'):\n"
        "    print('taken', flush=True); input()"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"taken\n"
        with pytest.raises(ConfigError, match="another the first"):
            Children(tmp_path, "the second").__enter__()
        first.kill()

    with Children(tmp_path, "the second"):
        pass


def test_a_restart_keeps_the_log_but_tells_only_of_itself(tmp_path: Path) -> None:
    for word in ("before", "now"):
        with Children(tmp_path, "a test") as children:
            children.start("short", [sys.executable, "-c", f"print({word!r})"])
            with pytest.raises(FleetError, match=rf"exit 0 \({word}\)"):
                children.supervise()

    lines = (tmp_path / "short.log").read_text().splitlines()
    assert [line for line in lines if not line.startswith("---")] == ["before", "now"]
    assert sum(line.endswith("short starts") for line in lines) == 2


def test_a_long_log_is_put_aside_at_a_start(tmp_path: Path) -> None:
    log = tmp_path / "short.log"
    log.write_bytes(b"x" * (MOST_LOG_BYTES + 1))
    with Children(tmp_path, "a test") as children:
        children.start("short", [sys.executable, "-c", ""])

    assert log.stat().st_size < 100
    assert (tmp_path / "short.log.1").stat().st_size == MOST_LOG_BYTES + 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("one\n\n two \n", "one; two"),
        ("one\nERROR no port\nx WARNING y\nbye", "ERROR no port; x WARNING y; bye"),
        (f"{'a ' * 100}\n{'b ' * 99}b\nbye", f"{'b ' * 99}b; bye"),
        ("word " * 100, f"{'word ' * 59}..."),
    ],
)
def test_last_words_are_whole_lines(text: str, expected: str) -> None:
    assert last_words(text) == expected
