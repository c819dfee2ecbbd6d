"""Which takes a device hears: of whom, of which keywords, and none twice in a round."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import DatasetError
from tinyfleet.simulations.datasets.keywords import KeywordTakes
from tinyfleet.simulations.draws import distinct

Numbers = NDArray[np.int64]
_NONE = -1  # in a table: no further take


@dataclass(frozen=True, eq=False)
class TakeTable:
    """Takes by speaker and keyword, and how devices choose among them.

    Speakers and keywords are numbered 0, 1, ... in the order of their numbers in the takes.

    Attributes:
        takes: all takes there are.
        ways: keywords of a device.
        support: takes of a keyword in the support.
        query: takes of a keyword in the query.
        speakers: people of a device; of no meaning with `across`.
        across: support and query of a keyword are by different people: those who said it are halved
            for each device.
        keys: what a user calls `support` and `query`.

    Raises:
        DatasetError: no device could be given as many takes.
    """

    takes: KeywordTakes = field(repr=False)
    ways: int
    support: int
    query: int
    speakers: int = 1
    across: bool = False
    keys: tuple[str, str] = ("support", "query")

    def __post_init__(self) -> None:
        people, words = self._counts.shape
        if self.ways > words:
            raise DatasetError(
                f"keywords.ways: expected at most {words}, the keywords of {self.takes.source}, "
                f"got {self.ways}"
            )
        if not self.across and self.speakers > people:
            raise DatasetError(
                f"keywords.speakers: expected at most {people}, the speakers of "
                f"{self.takes.source}, got {self.speakers}"
            )
        if not self._suited.any():
            raise DatasetError(self._lack_of_halves() if self.across else self._lack())

    def _lack(self) -> str:
        """Say what is too much for any speaker, or any household."""
        if self.speakers == 1:
            said = np.sort(self._counts, axis=1)[:, -self.ways].max()
            who = f"one speaker said of each of {self.ways} keywords"
        else:
            said = self._counts.min() * self.speakers
            who = f"any {self.speakers} speakers said of every keyword"
        key, other = self.keys
        return (
            f"keywords.{key}: expected {key} and {other} of at most {said} takes together, what "
            f"{who}, got {self.support} + {self.query} ({self.takes.source}); ask for "
            f"{'fewer, or for ' if said > 1 else ''}across = true in a study file"
        )

    def _lack_of_halves(self) -> str:
        """Say which of support and query is too much for half of the speakers, or the ways."""
        early, late = _halves(self._counts)
        both = int((early > 0).sum())  # the later half is no smaller
        name, got = "ways", self.ways
        expected = f"at most {both} keywords, those that two speakers said"
        if both >= self.ways:
            least = np.sort(early)[-self.ways]
            place = int(self.support <= least)
            name, got = self.keys[place], (self.support, self.query)[place]
            fit = late[early >= self.support] if place else early
            most = np.sort(fit)[-self.ways]
            expected = (
                f"at most {most} takes of each of {self.ways} keywords by half of the speakers"
            )
        return (
            f"keywords.{name}: expected {expected}, got {got} ({self.takes.source}); ask for "
            "fewer, or give another file"
        )

    def most_query(self, bound: int) -> int:
        """Return how many takes of a keyword the query can hold, at most `bound`."""
        return max(n for n in range(bound + 1) if self._suited_to(n).any())

    @cached_property
    def _counts(self) -> Numbers:
        """How often each speaker said each keyword, `(people, words)`."""
        return np.asarray((self._cells >= 0).sum(axis=2))

    @cached_property
    def _places(self) -> tuple[Numbers, Numbers]:
        """Speaker and keyword of each take, both counted from 0, `(takes,)`."""
        _, speaker = np.unique(self.takes.speaker, return_inverse=True)
        _, keyword = np.unique(self.takes.keyword, return_inverse=True)
        return speaker, keyword

    @cached_property
    def _cells(self) -> Numbers:
        """Takes of each speaker and keyword, `(people, words, most)`, -1 where there are fewer."""
        speaker, keyword = self._places
        words = int(keyword.max()) + 1
        cells = _grouped(speaker * words + keyword, (int(speaker.max()) + 1) * words)
        return cells.reshape(-1, words, cells.shape[1])

    @cached_property
    def _words(self) -> Numbers:
        """Takes of each keyword, `(words, most)`, -1 where there are fewer."""
        keyword = self._places[1]
        return _grouped(keyword, int(keyword.max()) + 1)

    @cached_property
    def _suited(self) -> NDArray[np.bool_]:
        """Whether a device with a speaker first can have a keyword, `(people, words)`.

        With `across` no speaker is first, and all have the same row.
        """
        return self._suited_to(self.query)

    def _suited_to(self, query: int) -> NDArray[np.bool_]:
        """Return what `_suited` is with as many takes in the query."""
        counts, people = self._counts, len(self._counts)
        if self.across:
            early, late = _halves(counts)
            enough = (early >= self.support) & (late >= query)
            return np.tile(enough & (enough.sum() >= self.ways), (people, 1))
        if self.speakers == 1:
            enough = counts >= self.support + query
        else:  # whoever joins whom, each brings as many
            least = counts.min() * self.speakers
            enough = np.full(counts.shape, least >= self.support + query)
        return np.asarray(enough & (enough.sum(axis=1, keepdims=True) >= self.ways))

    def people(self, u: NDArray[np.float64]) -> Numbers:
        """Return each device's speakers from numbers in [0, 1), `(n, people)` to `(n, speakers)`.

        With `across` all of them, in the order in which they are halved.
        """
        rank = np.where(self._suited.any(axis=1), u, 2.0)  # the unsuited come last
        order = np.argsort(rank, axis=1, kind="stable")
        return order if self.across else order[:, : self.speakers]

    def classes(self, people: Numbers, u: NDArray[np.float64]) -> Numbers:
        """Return each device's keywords, label by label, from numbers `(n, ways)`."""
        suited = self._suited[people[:, 0]]  # (n, words)
        first = np.argsort(~suited, axis=1, kind="stable")
        return np.take_along_axis(first, distinct(u, suited.sum(axis=1, keepdims=True)), axis=1)

    def width(self) -> int:
        """Return how many takes of a keyword a device chooses among, at most."""
        if self.across:
            return int(self._words.shape[1])
        return self.speakers * int(self._cells.shape[2])

    def chosen(self, people: Numbers, classes: Numbers, u: NDArray[np.float64]) -> Numbers:
        """Return takes of each device's keywords, `(n, ways, support + query)`, support first.

        Args:
            people: from `people`, `(n, ...)`.
            classes: from `classes`, `(n, ways)`.
            u: numbers in [0, 1), `(n, ways, width)`.
        """
        if self.across:
            return self._chosen_across(people, classes, u)
        pool = self._cells[people[:, None, :], classes[:, :, None]].reshape(u.shape)
        order = np.argsort(np.where(pool >= 0, u, 2.0), axis=2, kind="stable")
        return np.take_along_axis(pool, order[..., : self.support + self.query], axis=2)

    def _chosen_across(self, people: Numbers, classes: Numbers, u: NDArray[np.float64]) -> Numbers:
        said = (self._counts > 0).T[classes]  # (n, ways, people)
        turn = np.argsort(people, axis=1)[:, None, :]  # whose turn a speaker is, (n, 1, people)
        rank = np.argsort(np.argsort(np.where(said, turn, turn + len(self._counts)), axis=2))
        early = rank < said.sum(axis=2, keepdims=True) // 2
        pool = self._words[classes]  # (n, ways, width)
        supports = np.take_along_axis(early, self._places[0][pool], axis=2) & (pool >= 0)
        order = np.argsort(np.where(pool >= 0, u + ~supports, 2.0), axis=2, kind="stable")
        later = supports.sum(axis=2, keepdims=True) + np.arange(self.query)
        places = np.concatenate(
            [order[..., : self.support], np.take_along_axis(order, later, axis=2)], axis=2
        )
        return np.take_along_axis(pool, places, axis=2)


def _halves(counts: Numbers) -> tuple[Numbers, Numbers]:
    """Return how often either half of the speakers said each keyword at least, both `(words,)`.

    That is by those who said it least, as halves are drawn for each device.
    """
    said = [np.sort(one[one > 0]) for one in counts.T]
    early = [one[: len(one) // 2].sum() for one in said]
    late = [one[: len(one) - len(one) // 2].sum() for one in said]
    return np.array(early), np.array(late)


def _grouped(key: Numbers, groups: int) -> Numbers:
    """Return the places of each key 0..groups-1, `(groups, most)`, -1 where there are fewer."""
    counts = np.bincount(key, minlength=groups)
    table = np.full((groups, int(counts.max())), _NONE, np.int64)
    order = np.argsort(key, kind="stable")
    within = np.arange(len(key)) - np.repeat(np.cumsum(counts) - counts, counts)
    table[key[order], within] = order
    return table
