"""What the field has published, as numbers to stand beside ours; facts only, each with its source.

Papers go by short names:

- TECS 2024: Ren, Anicic, Li, Runkler, "On-device Online Learning and Semantic Management of TinyML
  Systems", ACM TECS, DOI 10.1145/3665278, arXiv 2405.07601.
- Reptile 2018: Nichol, Achiam, Schulman, "On First-Order Meta-Learning Algorithms", arXiv
  1803.02999.

Apps go by our names: TECS 2024 calls `characters` application I, `keywords` II, `presence` III.
"""

from dataclasses import dataclass
from typing import Literal

Method = Literal["FedSGD", "Reptile", "TinyMetaFed", "TinyReptile"]

CHARACTERS, KEYWORDS, PRESENCE, SINE = "characters", "keywords", "presence", "sine"


@dataclass(frozen=True)
class Source:
    """Where a number was published.

    Attributes:
        paper: short name of the paper.
        place: table or figure.
        read_off: whether the number was read off a drawn figure, not printed.
    """

    paper: str
    place: str
    read_off: bool = False

    @property
    def how(self) -> str:
        """How the number came to us."""
        return f"read off {self.place}" if self.read_off else f"printed, {self.place}"

    def __str__(self) -> str:
        return f"{self.paper} ({self.how})"

    def label(self, method: str) -> str:
        """Name a method together with where it was published."""
        return str(self) if self.paper.startswith(f"{method} ") else f"{method}, {self}"


@dataclass(frozen=True)
class Curve:
    """A published series of one method on one app.

    Attributes:
        app: which application.
        method: which algorithm.
        x: ascending places; shots a class or million parameters communicated, both directions.
        y: as many values; accuracy in percent or mean square error.
        source: where it was published.
    """

    app: str
    method: Method
    x: tuple[float, ...]
    y: tuple[float, ...]
    source: Source

    def at(self, x: float) -> float | None:
        """Return the value published for exactly `x`, or None; nothing is interpolated."""
        return dict(zip(self.x, self.y, strict=True)).get(x)


@dataclass(frozen=True)
class FineTuning:
    """Mean square error on one sine before and after fine-tuning on `points` of its points.

    Attributes:
        curve: amplitude a, frequency b, phase c of the one sine a sin(b x + c).
    """

    method: Method
    before: float
    after: float
    source: Source
    points: int = 8
    curve: tuple[float, float, float] = (4.04, 1.0, 4.8)


@dataclass(frozen=True)
class FewShot:
    """Accuracy in percent on Omniglot characters never seen in training.

    Attributes:
        transduction: whether all queries of a task are normalised together, which tells the
            network about queries that it should not know yet.
    """

    ways: int
    shots: int
    transduction: bool
    accuracy: float


TABLE_4 = Source("TECS 2024", "Table 4")
FIGURE_9 = Source("TECS 2024", "Figure 9", read_off=True)
FIGURE_15 = Source("TECS 2024", "Figure 15", read_off=True)
SINE_FIGURE = Source("TECS 2024", "the fine-tuned sine", read_off=True)
REPTILE_2018 = Source("Reptile 2018", "Omniglot results")

SHOTS = (0, 1, 2, 4, 8, 16)
ACCURACY_BY_SHOTS = (
    Curve(CHARACTERS, "TinyReptile", SHOTS, (20.6, 58.3, 75.0, 85.9, 91.4, 92.1), TABLE_4),
    Curve(KEYWORDS, "TinyReptile", SHOTS, (24.6, 61.7, 76.7, 85.1, 89.4, 90.4), TABLE_4),
    Curve(PRESENCE, "TinyReptile", SHOTS, (48.3, 68.3, 79.6, 86.1, 88.6, 88.3), TABLE_4),
)

SINE_MILLIONS = (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5)
LOSS_BY_PARAMETERS = (
    Curve(
        SINE,
        "FedSGD",
        SINE_MILLIONS,
        (4.2, 4.1, 4.3, 4.3, 4.2, 4.5, 4.4, 4.4, 4.2, 4.0, 4.1, 4.2),
        FIGURE_9,
    ),
    Curve(
        SINE,
        "TinyReptile",
        SINE_MILLIONS,
        (4.2, 2.9, 2.7, 2.6, 2.55, 2.1, 1.5, 1.3, 1.1, 0.9, 0.6, 0.41),
        FIGURE_9,
    ),
    Curve(
        SINE,
        "TinyMetaFed",
        SINE_MILLIONS,
        (4.1, 2.3, 1.65, 0.95, 0.85, 0.68, 0.52, 0.45, 0.43, 0.42, 0.45, 0.40),
        FIGURE_9,
    ),
)

CHARACTERS_MILLIONS = tuple(range(0, 801, 50))
KEYWORDS_MILLIONS = tuple(range(0, 1601, 100))
PRESENCE_MILLIONS = (0, 2, 4, 6, 8, 10, 12, 14, 14.6)
# fmt: off
ACCURACY_BY_PARAMETERS = (
    Curve(CHARACTERS, "Reptile", CHARACTERS_MILLIONS,
          (17, 22, 38, 45, 55, 68, 72, 80.5, 82, 84.3, 86.2, 89.3, 90.3, 90.9, 91.3, 91.1, 91.2),
          FIGURE_15),
    Curve(CHARACTERS, "TinyReptile", CHARACTERS_MILLIONS,
          (19, 23, 25, 36, 46.5, 59, 63.5, 71, 76.1, 82.5, 84.6, 87.8, 89, 89.8, 90.5, 90.9, 91.3),
          FIGURE_15),
    Curve(CHARACTERS, "TinyMetaFed", CHARACTERS_MILLIONS,
          (21, 33, 55, 69, 78.1, 81.5, 85.2, 88, 89, 89.5, 90.2, 90.4, 90.6, 90.2, 90.3, 90.7,
           90.2),
          FIGURE_15),
    Curve(KEYWORDS, "Reptile", KEYWORDS_MILLIONS,
          (25, 28, 35, 42, 49, 55, 62, 66, 72, 77.6, 84.3, 86.5, 88.6, 89.1, 89.6, 89.7, 89.9),
          FIGURE_15),
    Curve(KEYWORDS, "TinyReptile", KEYWORDS_MILLIONS,
          (21, 24, 29, 35, 43, 49, 54, 59, 66.9, 73, 78.1, 82.9, 85, 87.1, 88.6, 88.9, 89.4),
          FIGURE_15),
    Curve(KEYWORDS, "TinyMetaFed", KEYWORDS_MILLIONS,
          (24, 32, 44, 52, 59, 66, 74, 78.1, 83.3, 86.5, 87.4, 88.2, 88.3, 88.4, 88, 88.2, 88.1),
          FIGURE_15),
    Curve(PRESENCE, "Reptile", PRESENCE_MILLIONS,
          (43.2, 75.5, 86.1, 88.7, 87.6, 87.5, 89.5, 88.8, 88.5), FIGURE_15),
    Curve(PRESENCE, "TinyReptile", PRESENCE_MILLIONS,
          (41.8, 66.7, 81.8, 86.5, 86.4, 87.5, 87.8, 87.3, 87.7), FIGURE_15),
    Curve(PRESENCE, "TinyMetaFed", PRESENCE_MILLIONS,
          (44, 84.5, 88, 89.6, 88.1, 89.6, 89.9, 88.3, 88.9), FIGURE_15),
)
# fmt: on

SINE_FINE_TUNING = (
    FineTuning("TinyReptile", 7.17, 0.131, SINE_FIGURE),
    FineTuning("FedSGD", 8.13, 9.08, SINE_FIGURE),
)

OMNIGLOT = (
    FewShot(5, 1, transduction=False, accuracy=95.39),
    FewShot(5, 5, transduction=False, accuracy=98.90),
    FewShot(20, 1, transduction=False, accuracy=88.14),
    FewShot(20, 5, transduction=False, accuracy=96.65),
    FewShot(5, 1, transduction=True, accuracy=97.68),
    FewShot(5, 5, transduction=True, accuracy=99.48),
    FewShot(20, 1, transduction=True, accuracy=89.43),
    FewShot(20, 5, transduction=True, accuracy=97.12),
)

# Parameters of the network of each app, TECS 2024 (printed).
PARAMETERS = {SINE: 1_153, CHARACTERS: 108_229, KEYWORDS: 105_124, PRESENCE: 4_513}

# Classes that a device tells apart, TECS 2024 (printed).
WAYS = {CHARACTERS: 5, KEYWORDS: 4, PRESENCE: 2}

# Memory of training in thousand bytes, TECS 2024 (printed): app, then method.
MEMORY_KB: dict[str, dict[Method, int]] = {
    CHARACTERS: {"Reptile": 2096, "TinyReptile": 641, "TinyMetaFed": 641},
    KEYWORDS: {"Reptile": 8333, "TinyReptile": 1409, "TinyMetaFed": 1409},
    PRESENCE: {"Reptile": 22, "TinyReptile": 18, "TinyMetaFed": 18},
}


def accuracy_by_shots(app: str) -> Curve | None:
    """Return TinyReptile's accuracy on `app` against shots a class, TECS 2024 Table 4."""
    return next((curve for curve in ACCURACY_BY_SHOTS if curve.app == app), None)


def by_parameters(app: str) -> tuple[Curve, ...]:
    """Return what was published for `app` against million parameters communicated, a method each.

    Accuracy in percent (TECS 2024 Figure 15); for `sine` the test loss (Figure 9).
    """
    curves = (*LOSS_BY_PARAMETERS, *ACCURACY_BY_PARAMETERS)
    return tuple(curve for curve in curves if curve.app == app)


def omniglot(ways: int, *, transduction: bool = False) -> Curve | None:
    """Return Reptile's accuracy with `ways` classes against shots a class, Reptile 2018."""
    found = [f for f in OMNIGLOT if f.ways == ways and f.transduction == transduction]
    if not found:
        return None
    shots = tuple(f.shots for f in found)
    return Curve(CHARACTERS, "Reptile", shots, tuple(f.accuracy for f in found), REPTILE_2018)
