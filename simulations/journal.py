"""A run's folder: what is written when, so that a run can die anywhere and go on to the same bytes.

`rounds.jsonl` grows by a line a round. Every few seconds it is flushed to the disk and a checkpoint
is put in place by an atomic rename, which says how long the journal was; whoever goes on cuts the
journal there and starts from the checkpoint. Every other file appears whole or not at all.
"""

import fcntl
import io
import json
import math
import os
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from tinyfleet.atomic import write_atomically
from tinyfleet.errors import StudyError
from tinyfleet.messages import Floats
from tinyfleet.server.meta import Moments

RUN, ROUNDS, WEIGHTS, RESULT = "run.json", "rounds.jsonl", "weights.npy", "result.json"
CHECKPOINT, EXAMPLE = "checkpoint.npz", "example.npz"
MIXED, MIXED_WEIGHTS = "mixed.json", "mixed.npy"
GRAPH, MIXED_GRAPH = "graph", "mixed-graph"
_SECONDS_BETWEEN_CHECKPOINTS = 2.0


@dataclass(frozen=True)
class State:
    """How far a run has come.

    Attributes:
        round: last round that is done; 0 before the first.
        weights: the weights after it.
        parameters: parameters communicated so far, both ways.
        bytes: their bytes, with those of indices.
        journal: bytes of `rounds.jsonl` that belong to it.
        moments: what the server's Adam remembers; None without it.
    """

    round: int
    weights: Floats
    parameters: int = 0
    bytes: int = 0
    journal: int = 0
    moments: Moments | None = None


class Journal:
    """Writes a run's rounds and checkpoints into `folder`; use it as a context manager.

    Raises:
        StudyError: another run writes here, the journal is shorter than its checkpoint says, or
            the folder cannot be written.
    """

    def __init__(self, folder: Path, state: State) -> None:
        self.folder = folder
        self.state = state
        self._file: BinaryIO | None = None
        self._saved = time.monotonic()

    def __enter__(self) -> Self:
        path = self.folder / ROUNDS
        with _translated(path):
            path.touch()
            file = path.open("r+b")
        try:
            with _translated(path):
                _lock(file, path)
                length = file.seek(0, os.SEEK_END)
                if length < self.state.journal:
                    raise StudyError(
                        f"{path}: expected at least {self.state.journal} bytes, as {CHECKPOINT} "
                        f"says, got {length}; start the run anew in another folder"
                    )
                file.truncate(self.state.journal)
                file.seek(self.state.journal)
        except BaseException:
            file.close()
            raise
        self._file = file
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.checkpoint()
        finally:
            if self._file:
                self._file.close()

    def record(self, line: Mapping[str, Any], state: State) -> None:
        """Add a round's line; `state` is where the run stands after it."""
        if self._file is None:
            raise StudyError(f"{self.folder / ROUNDS}: expected an open journal; enter it first")
        with _translated(self.folder / ROUNDS):
            self._file.write(to_json(line).encode() + b"\n")
            self.state = replace(state, journal=self._file.tell())
        if time.monotonic() - self._saved > _SECONDS_BETWEEN_CHECKPOINTS:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Make everything recorded so far survive whatever comes."""
        if self._file:
            with _translated(self.folder / ROUNDS):
                self._file.flush()
                os.fsync(self._file.fileno())
        state, block = self.state, io.BytesIO()
        numbers = np.array([state.round, state.parameters, state.bytes, state.journal], np.int64)
        remembered = {} if state.moments is None else state.moments._asdict()
        np.savez(block, numbers=numbers, weights=state.weights, **remembered)
        write_atomically(self.folder / CHECKPOINT, block.getvalue())
        self._saved = time.monotonic()


def _lock(file: BinaryIO, path: Path) -> None:
    """Take `path` for this process, until it closes the file or dies."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StudyError(f"{path}: another run writes here; wait for it or stop it") from None


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StudyError(f"{path}: expected a file to write, got: {error.strerror}") from None


def new_folder(folder: Path) -> None:
    """Make `folder` ready for a run; what a killed run half wrote there goes away.

    Raises:
        StudyError: it holds something, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*.part"):
            left.unlink()
        filled = any(folder.iterdir())
    except OSError as error:
        got = "a file" if folder.is_file() else error.strerror
        raise StudyError(
            f"{folder}: expected a folder that can be written, got {got}; name another"
        ) from None
    if filled:
        raise StudyError(
            f"{folder}: expected a new or empty folder, got one with files; "
            f"take another, or go on with --resume {folder}"
        )


def read_state(folder: Path, parameters: int) -> State:
    """Return where the run in `folder` stands.

    Raises:
        StudyError: there is no checkpoint, or it is damaged or of another network.
    """
    path = folder / CHECKPOINT
    try:
        with np.load(path, allow_pickle=False) as data:
            numbers, weights = data["numbers"], data["weights"]
            moments = Moments(data["first"], data["second"]) if "first" in data else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StudyError(
            f"{path}: expected a checkpoint: {error}; start the run anew with --out"
        ) from None
    if numbers.shape != (4,) or weights.shape != (parameters,) or weights.dtype != np.float32:
        raise StudyError(
            f"{path}: expected {parameters} float32, got {weights.dtype} {weights.shape}"
        )
    if any(m.shape != (parameters,) or m.dtype != np.float64 for m in moments or ()):
        raise StudyError(f"{path}: expected moments of {parameters} float64, got others")
    done, communicated, sent, journal = (int(n) for n in numbers)
    return State(done, weights, communicated, sent, journal, moments)


def read_lines(folder: Path, state: State) -> Iterator[dict[str, Any]]:
    """Yield the lines of the rounds up to where the run in `folder` stands.

    Raises:
        StudyError: the journal is damaged or shorter than `state` says.
    """
    path = folder / ROUNDS
    left = state.journal
    with _translated(path), path.open("rb") as file:
        while left > 0:
            line = file.readline(left)
            left -= len(line)
            try:
                values = json.loads(line)
            except ValueError as error:
                raise StudyError(
                    f"{path}: expected whole lines, got a cut or damaged one: {error}; "
                    "start the run anew in another folder"
                ) from None
            yield values


def to_json(values: Any, indent: int | None = None) -> str:
    """Return `values` as JSON; numbers that are not finite become null."""
    separators = None if indent else (",", ":")
    return json.dumps(_finite(values), indent=indent, separators=separators, allow_nan=False)


def _finite(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {key: _finite(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_finite(value) for value in values]
    if isinstance(values, float) and not math.isfinite(values):
        return None
    return values


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write `values` for people and machines, whole or not at all."""
    write_atomically(path, to_json(values, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return what `write_json` wrote.

    Raises:
        StudyError: the file is missing, cut short or no table.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise StudyError(f"{path}: expected a file that a run wrote: {error}") from None
    if not isinstance(values, dict):
        raise StudyError(f"{path}: expected a table, got {type(values).__name__}")
    return values
