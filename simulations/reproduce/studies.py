"""The studies that several tables share, so that each is run once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyfleet.simulations import published
from tinyfleet.simulations.reproduce.work import Ran, Work
from tinyfleet.simulations.study import read_study_file

APPS = (published.CHARACTERS, published.KEYWORDS, published.PRESENCE)
"""Applications I, II and III of TECS 2024."""

PRESENCE_DATA = (
    "the published rooms are proprietary; ours are six public ones, so the two stand side by side "
    "and cannot be compared"
)
"""Why no figure of presence is comparable."""

STUDIES = Path(__file__).parent.parent / "studies"
"""Where the studies lie that are more than an application's settings."""

BUDGET = {
    published.CHARACTERS: 400.0,
    published.KEYWORDS: 80.0,
    published.PRESENCE: 14.6,
}
"""Million parameters that a curve of Figure 15 communicates, both ways: all of the published curve
for presence, half of it for characters, and a twentieth for keywords, where ours has long levelled
off."""


def comparable(app: str) -> str:
    """Return why figures of `app` are not comparable; "" where they are."""
    return PRESENCE_DATA if app == published.PRESENCE else ""


def study_file(name: str) -> Mapping[str, Any]:
    """Return the values of a study that comes with the package, such as "thrifty"."""
    return read_study_file(STUDIES / f"{name}.toml")


def tinyreptile(work: Work, app: str) -> Ran:
    """Return TinyReptile under the application's own settings."""
    return work.study(f"{app}-tinyreptile", {"app": app, "strategy": "tinyreptile"})


def tinymetafed(
    work: Work, app: str, share: float, *, schedule: bool = True, coarse: bool = False
) -> Ran:
    """Return TinyMetaFed, partial, at a share P.

    Args:
        work: the run of the reproduction.
        app: whose study.
        share: P, the part of the returnable entries that comes back.
        schedule: restarts of the step; else it stays at half the highest, about a schedule's mean.
        coarse: updates travel as int8 and weights as float16.
    """
    values: dict[str, Any] = {"app": app, "strategy": "tinymetafed", "share": share}
    name = f"{app}-tinymetafed-{round(100 * share)}"
    if not schedule:
        steady = work.planned(values, name).step / 2
        values |= {"period": 0, "step": steady, "step_end": steady}
        name += "-steady"
    if coarse:
        values |= {"encoding": "int8", "encoding_down": "float16"}
        name += "-coarse"
    return work.study(name, values)


def within_budget(
    work: Work, app: str, strategy: str, method: str, values: Mapping[str, Any]
) -> Ran:
    """Return a run that communicates as many parameters as `BUDGET` has for `app`.

    Args:
        work: the run of the reproduction.
        app: whose curve.
        strategy: which algorithm.
        method: what the run is called.
        values: its settings but for the rounds, over the application's own.
    """
    name = f"{app}-{method.lower()}-curve"
    asked = {"app": app, "strategy": strategy, "evaluations": 160, "shots": [8], **values}
    probe = {"rounds": 1, "evaluations": 1, "tasks": 2, "validation_tasks": 2, "passes": []}
    first = work.study(f"{name}-probe", {**asked, **probe, "rates": []}, probe=True)
    each = int(first.rounds[0]["parameters_communicated"])
    return work.study(name, {**asked, "rounds": max(1, int(BUDGET[app] * 1e6 / each))})
