"""What simple methods of scikit-learn make of an unseen room, with and without its samples."""

from collections.abc import Mapping
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from tinyfleet.errors import StudyError
from tinyfleet.simulations.assemble import Setup
from tinyfleet.simulations.metrics import balanced_accuracy
from tinyfleet.simulations.tasks.presence import Presence
from tinyfleet.task import Floats

_THIN = 4  # every fourth row of the other rooms: twenty minutes apart, so little is lost

Labels = NDArray[np.bool_]


class _Classifier(Protocol):
    """What scikit-learn's classifiers of two classes offer."""

    def fit(self, x: Floats, y: Labels, sample_weight: NDArray[np.float64]) -> Self: ...

    def decision_function(self, x: Floats) -> NDArray[np.float64]: ...


def simple_methods(setup: Setup, shots: int, devices: int) -> Mapping[str, float]:
    """Return the mean balanced accuracy in percent of each method over test devices.

    Args:
        setup: a study of presence; its training rooms are learned from.
        shots: labelled rows of each class where a method adapts.
        devices: how many devices, the first, a method that adapts learns anew for; one that does
            not is judged on all.

    Raises:
        StudyError: the study is of something else.
    """
    train, test = setup.application.parts(setup.study).train, setup.test.family
    if not isinstance(train, Presence) or not isinstance(test, Presence):
        raise StudyError("simple_methods: expected a study of presence, got another")
    x, y, room = train.table()
    x, y, room = x[::_THIN], y[::_THIN], room[::_THIN]
    batch = test.batch(np.arange(setup.test.tasks), 0)
    weeks = test.weeks_before(np.arange(devices))
    even = np.ones(len(y))
    scores: dict[str, list[float]] = {}

    def judge(name: str, model: _Classifier, device: int) -> None:
        logits = model.decision_function(batch.query_x[device]).astype(np.float32)[None, :, None]
        found = balanced_accuracy(logits, batch.query_y[device][None])
        scores.setdefault(name, []).append(float(found[0]))

    for name, model in (("boosting", _boosting()), ("logistic regression", _linear())):
        fitted = _fitted(model, x, y, even)
        for device in range(setup.test.tasks):
            judge(name, fitted, device)
    a_room = len(y) / (int(room.max()) + 1)
    for device in range(devices):
        rows = 2 * shots
        mine = batch.support_x[device, :rows], batch.support_y[device, :rows, 0] > 0.5
        judge("boosting, the samples alone", _fitted(_boosting(2), *mine, np.ones(rows)), device)
        judge(
            "logistic regression, the samples alone",
            _fitted(_linear(), *mine, np.ones(rows)),
            device,
        )
        for name, (more_x, more_y) in (
            ("boosting, and the samples", mine),
            ("boosting, and the whole week", weeks[device]),
        ):
            weights = np.concatenate([even, np.full(len(more_y), a_room / len(more_y))])
            both = np.concatenate([x, more_x]), np.concatenate([y, more_y])
            judge(name, _fitted(_boosting(), *both, weights), device)
    return {name: float(np.mean(found)) for name, found in scores.items()}


def _boosting(least: int = 20) -> _Classifier:
    found: _Classifier = HistGradientBoostingClassifier(
        max_iter=100, learning_rate=0.05, max_leaf_nodes=8, min_samples_leaf=least, random_state=0
    )
    return found


def _linear() -> _Classifier:
    found: _Classifier = LogisticRegression()
    return found


def _fitted(model: _Classifier, x: Floats, y: Labels, weights: NDArray[np.float64]) -> _Classifier:
    """Fit `model`, both classes weighing the same in all, and return it."""
    even = weights.copy()
    for kind in (y, ~y):
        even[kind] *= weights.sum() / 2 / weights[kind].sum()
    return model.fit(x, y, sample_weight=even)
