"""A device's recorded stream, learned so that a killed process goes on to the same bits.

A device's folder holds `head.npz` and `scores.jsonl`, a line for each sample. Lines reach the disk
before the head that counts them; lines that it does not count are dropped when the run goes on.
"""

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyfleet.atomic import write_atomically
from tinyfleet.client.head import Head
from tinyfleet.client.head_file import load_head, save_head
from tinyfleet.client.stream import Recording, Sample
from tinyfleet.client.tinyol import Extract, Score, TinyOL, follow_stream
from tinyfleet.errors import StudyError

HEAD, SCORES = "head.npz", "scores.jsonl"

EVERY = 64
"""Samples between two saves."""


@dataclass(frozen=True)
class Result:
    """What became of one device.

    Attributes:
        device: its number.
        head: its head after the last sample.
        scores: a line of `scores.jsonl` for each sample.
    """

    device: int
    head: Head = field(repr=False)
    scores: tuple[dict[str, Any], ...] = field(repr=False)

    @property
    def second_half(self) -> float:
        """Accuracy over the later half of the labelled samples, 0 to 1; NaN without any."""
        hits = [line["hit"] for line in self.scores if line["hit"] is not None]
        late = hits[len(hits) // 2 :]
        return sum(late) / len(late) if late else math.nan

    def to_json(self) -> dict[str, Any]:
        """Return what a person or a program wants to know of it."""
        head = self.head
        return {
            "device": self.device,
            "samples": head.samples,
            "labelled": head.labelled,
            "accuracy": _or_none(head.accuracy),
            "second_half": _or_none(self.second_half),
            "classes": list(head.classes),
        }


def learn_recording(
    device: int,
    recording: Recording,
    extract: Extract,
    head: Head,
    folder: Path | None,
    listen: Callable[[int], None],
) -> Result:
    """Learn `recording` from `head` on, or from where `folder` says that the device got to.

    Args:
        device: number of the device.
        recording: its stream, from the first sample.
        extract: the frozen feature extractor.
        head: where a device that is new begins.
        folder: where its state is kept; None keeps none.
        listen: told after every sample how many of the stream are done.

    Raises:
        StudyError: the folder's files do not belong together, or to this recording.
        FleetError: whatever the extractor, the head or the disk refuse.
    """
    scores: list[dict[str, Any]] = []
    if folder is not None:
        head, scores = _resumed(folder, head, recording)
    learner, saved = TinyOL(head), len(scores)
    listen(saved)
    rest = recording.after(saved)
    for sample, score in zip(rest, follow_stream(learner, extract, rest), strict=True):
        scores.append(_line(learner.head, sample, score))
        listen(len(scores))
        if folder is not None and len(scores) - saved == EVERY:
            _save(folder, learner.head, scores[saved:])
            saved = len(scores)
    if folder is not None:
        _save(folder, learner.head, scores[saved:])
    return Result(device, learner.head, tuple(scores))


def _resumed(folder: Path, head: Head, recording: Recording) -> tuple[Head, list[dict[str, Any]]]:
    """Return where the device got to, and leave just the lines that its head counts."""
    scores: list[dict[str, Any]] = []
    lines: list[str] = []
    if (folder / HEAD).exists():
        head = load_head(folder / HEAD)
        if head.samples > len(recording):
            raise StudyError(
                f"{folder / HEAD}: expected at most {len(recording)} samples of this stream, "
                f"got {head.samples}; give another --out"
            )
        try:
            lines = (folder / SCORES).read_text("utf-8").splitlines()[: head.samples]
            scores = [json.loads(line) for line in lines]
        except (OSError, ValueError):
            scores = []
        if len(scores) != head.samples:
            raise StudyError(
                f"{folder / SCORES}: expected {head.samples} lines of scores, got {len(scores)} "
                "that can be read; give another --out"
            )
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / SCORES, "".join(f"{line}\n" for line in lines))
    return head, scores


def _save(folder: Path, head: Head, scores: list[dict[str, Any]]) -> None:
    try:
        with open(folder / SCORES, "a", encoding="utf-8", newline="\n") as file:
            file.writelines(json.dumps(line) + "\n" for line in scores)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StudyError(
            f"{folder / SCORES}: expected a file to add to, got {error.strerror or error}"
        ) from None
    save_head(folder / HEAD, head)


def _line(head: Head, sample: Sample, score: Score) -> dict[str, Any]:
    return {
        "sample": head.samples,
        "label": sample.label,
        "predicted": score.predicted,
        "hit": score.hit,
        "loss": score.loss,
        "accuracy": _or_none(head.accuracy),
    }


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
