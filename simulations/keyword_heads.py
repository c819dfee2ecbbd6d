"""What a TinyOL head is worth: keywords of speakers whom nobody has heard before.

    python -m tinyfleet.simulations.keyword_heads MODEL.tflite keywords_mfcc49x10.npz

A task is a speaker's takes of 5 keywords, shuffled into a stream. Speakers are unseen by turns:
a third of them at a time, while heads and class means are made of the others' takes.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from tinyfleet.client.head import fresh_head, head_network, warm_head
from tinyfleet.client.tflite import load_model
from tinyfleet.client.tinyol import TinyOL
from tinyfleet.errors import FleetError
from tinyfleet.simulations.datasets.keywords import find_keywords
from tinyfleet.simulations.evaluation import Scores, estimate
from tinyfleet.simulations.journal import to_json

Floats = NDArray[np.float32]
FOLDS, WAYS, RATE = 3, 5, 0.05

METHODS = {
    "means": "nearest class mean of other speakers, frozen",
    "means-learned": "nearest class mean, from the speaker's own takes",
    "frozen": "head of other speakers, frozen",
    "fresh": "TinyOL, fresh head",
    "warm": "TinyOL, warm head of other speakers",
    "joins": "TinyOL, warm head of 4 keywords; the fifth joins",
    "joined": "  the fifth keyword alone",
}
GAIN = "gain", "TinyOL's warm head over the same, frozen"
"""What is compared, and how a table calls it."""


@dataclass(frozen=True)
class Takes:
    """Takes of keywords: features `(n, f)`, and keyword and speaker of each, `(n,)`."""

    features: Floats
    keyword: NDArray[np.str_]
    speaker: NDArray[np.int64]

    def of(
        self, keywords: Sequence[str], speakers: Sequence[int], draw: np.random.Generator
    ) -> list[tuple[Floats, str]]:
        """Return the features and keywords of some speakers' takes, shuffled."""
        which = np.isin(self.keyword, keywords) & np.isin(self.speaker, speakers)
        places = draw.permutation(np.flatnonzero(which))
        return [(self.features[i], str(self.keyword[i])) for i in places]


def load_takes(model: Path, pack: Path) -> Takes:
    """Return the takes of a pack of MFCCs as `model` sees them."""
    loaded, takes = load_model(model), find_keywords(pack, os.environ)
    x = takes.features.reshape(len(takes), *loaded.input.shape)
    return Takes(loaded.features(x), np.array(takes.names)[takes.keyword], takes.speaker)


class ClassMeans:
    """Names the class whose mean of standardised features is nearest; may learn, may stay."""

    def __init__(self, known: list[tuple[Floats, str]], *, learns: bool) -> None:
        z = np.array([z for z, _ in known], np.float64)
        self._mean, self._deviation = z.mean(axis=0), z.std(axis=0) + 1e-6
        self._sums: dict[str, tuple[NDArray[np.float64], int]] = {}
        self._learns = learns
        if not learns:
            for z_, label in known:
                self._add(z_, label)

    def _add(self, z: Floats, label: str) -> None:
        total, count = self._sums.get(label, (np.zeros(len(z)), 0))
        self._sums[label] = total + (z - self._mean) / self._deviation, count + 1

    def says(self, z: Floats, label: str) -> str | None:
        """Return the class of `z`; learn it afterwards where that is wanted."""
        at = (z - self._mean) / self._deviation
        apart = {c: float(((at - s / n) ** 2).sum()) for c, (s, n) in self._sums.items()}
        if self._learns:
            self._add(z, label)
        return min(apart, key=lambda c: apart[c]) if apart else None


def play(
    stream: list[tuple[Floats, str]], others: list[tuple[Floats, str]], seed: int
) -> dict[str, float]:
    """Return each method's prequential accuracy in percent on one task's stream."""
    keywords = sorted({label for _, label in stream})
    network = head_network(len(stream[0][0]), WAYS)
    deployed = _trained(TinyOL(fresh_head(network, keywords, rate=RATE, seed=seed)), others)
    four = fresh_head(head_network(network.inputs, WAYS - 1), keywords[1:], rate=RATE, seed=seed)
    lacking = _trained(TinyOL(four), [(z, y) for z, y in others if y != keywords[0]])
    frozen, warm = TinyOL(warm_head(deployed.head)), TinyOL(warm_head(deployed.head))
    joins = TinyOL(warm_head(lacking.head))
    fresh = TinyOL(fresh_head(network, keywords, rate=RATE, seed=seed))
    still, own = ClassMeans(others, learns=False), ClassMeans(others, learns=True)
    hits: dict[str, list[bool]] = {name: [] for name in METHODS}
    for z, label in stream:
        hits["means"].append(still.says(z, label) == label)
        hits["means-learned"].append(own.says(z, label) == label)
        hits["frozen"].append(frozen.classify(z).predicted == label)
        hits["fresh"].append(fresh.classify(z, label).predicted == label)
        hits["warm"].append(warm.classify(z, label).predicted == label)
        hits["joins"].append(joins.classify(z, label).predicted == label)
        if label == keywords[0]:
            hits["joined"].append(hits["joins"][-1])
    return {name: 100.0 * float(np.mean(found)) for name, found in hits.items()}


def _trained(learner: TinyOL, takes: list[tuple[Floats, str]]) -> TinyOL:
    for z, label in takes:
        learner.classify(z, label)
    return learner


def compare(takes: Takes, speakers: int, tasks: int, seed: int) -> dict[str, Scores]:
    """Return the mean accuracy of each method on every speaker's tasks, `(speakers,)` percent."""
    known = np.unique(takes.speaker)
    every = known[:: max(1, len(known) // speakers)][:speakers]
    names = np.unique(takes.keyword)
    found: dict[str, list[float]] = {name: [] for name in METHODS}
    for speaker in every.tolist():
        draw = np.random.default_rng((seed, speaker))
        others = [s for s in known.tolist() if s % FOLDS != speaker % FOLDS]
        played = []
        for _ in range(tasks):
            keywords = draw.choice(names, WAYS, replace=False).tolist()
            stream = takes.of(keywords, [speaker], draw)
            played.append(play(stream, takes.of(keywords, others, draw), seed))
        for name, scores in found.items():
            scores.append(float(np.mean([task[name] for task in played])))
    scored = {name: np.array(scores) for name, scores in found.items()}
    return {**scored, GAIN[0]: scored["warm"] - scored["frozen"]}


def main(
    model: Annotated[Path, typer.Argument(help="The frozen .tflite model.")],
    pack: Annotated[Path, typer.Argument(help="The pack of keywords.")],
    speakers: Annotated[int, typer.Option(help="Unseen speakers.", min=2)] = 30,
    tasks: Annotated[int, typer.Option(help="Tasks of each speaker.", min=1)] = 10,
    seed: Annotated[int, typer.Option(help="Seed of all that is drawn.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Compare TinyOL with frozen answers on keywords of unseen speakers."""
    called = {**METHODS, GAIN[0]: GAIN[1]}
    for name, scores in compare(load_takes(model, pack), speakers, tasks, seed).items():
        result = estimate(scores)
        if as_json:
            typer.echo(to_json({"method": name, **asdict(result)}))
        else:
            typer.echo(f"{called[name]:52} {result.mean:5.1f} +- {result.ci95:.1f} %")


if __name__ == "__main__":
    try:
        typer.run(main)
    except FleetError as error:
        typer.echo(f"keyword_heads: {error}", err=True)
        sys.exit(error.exit_code)
