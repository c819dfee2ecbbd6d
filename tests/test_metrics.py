"""Presence is scored by what scikit-learn would say, device by device, whatever it is told."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

from tinyfleet.messages import Floats
from tinyfleet.simulations.metrics import balanced_accuracy, presence_summary


def answers(devices: int = 30, rows: int = 40) -> tuple[Floats, Floats]:
    """Return logits that know something of rare targets, and the targets."""
    rng = np.random.default_rng(4)
    targets = (rng.random((devices, rows, 1)) < 0.2).astype(np.float32)
    targets[:, :2, 0] = (0, 1)
    noise = rng.normal(size=targets.shape)
    return (2 * targets - 1 + noise).astype(np.float32), targets


def test_balanced_accuracy_is_scikit_learns() -> None:
    logits, targets = answers()

    found = balanced_accuracy(logits, targets)

    for score, z, y in zip(found, logits[:, :, 0], targets[:, :, 0], strict=True):
        assert score == pytest.approx(100 * balanced_accuracy_score(y, z > 0))


def test_to_say_always_nobody_is_worth_half() -> None:
    _, targets = answers()

    assert (balanced_accuracy(np.full_like(targets, -1), targets) == 50.0).all()


@pytest.mark.parametrize(("present", "score"), [(1.0, 75.0), (0.0, 25.0)])
def test_a_device_of_one_class_scores_its_recall(present: float, score: float) -> None:
    logits = np.array([[[1.0], [2.0], [3.0], [-1.0]]], np.float32)

    assert balanced_accuracy(logits, np.full_like(logits, present)).tolist() == [score]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_output_that_is_not_finite_is_wrong(bad: float) -> None:
    logits = np.array([[[bad], [1.0], [bad], [-1.0]]], np.float32)
    targets = np.array([[[1.0], [1.0], [0.0], [0.0]]], np.float32)

    assert balanced_accuracy(logits, targets).tolist() == [50.0]


def test_curves_are_scikit_learns_per_device_and_pooled() -> None:
    logits, targets = answers()
    pairs = list(zip(targets[:, :, 0], logits[:, :, 0], strict=True))

    told = presence_summary(logits, targets)

    for name, area in (("auroc", roc_auc_score), ("auprc", average_precision_score)):
        mean = 100 * np.mean([area(y, z) for y, z in pairs])
        assert told["per_device"][name]["mean"] == pytest.approx(mean)
        assert told["per_device"][name]["ci95"] > 0
        assert told["pooled"][name] == pytest.approx(100 * area(targets.ravel(), logits.ravel()))
    assert told["prevalence"] == pytest.approx(100 * targets.mean())


def test_devices_of_one_class_are_left_out_of_curves_and_counted() -> None:
    logits, targets = answers()
    before = presence_summary(logits[3:], targets[3:])["per_device"]["auroc"]
    targets[:2], targets[2] = 0.0, 1.0

    told = presence_summary(logits, targets)

    assert told["one_class"] == 3
    assert told["per_device"]["auroc"] == before
    assert told["per_device"]["balanced_accuracy"]["tasks"] == 30


def test_no_curve_is_told_where_nobody_ever_came() -> None:
    logits, targets = answers()

    told = presence_summary(logits, np.zeros_like(targets))

    assert (told["prevalence"], told["one_class"]) == (0.0, 30)
    assert list(told["pooled"]) == list(told["per_device"]) == ["balanced_accuracy"]


def test_a_tenth_of_the_devices_is_worse_than_the_worst_decile() -> None:
    logits, targets = answers(devices=100)

    told = presence_summary(logits, targets)

    below = balanced_accuracy(logits, targets) < told["worst_decile"]
    assert 0 < below.sum() <= 10


def test_diverged_outputs_still_give_numbers() -> None:
    logits, targets = answers()
    logits[0] = np.nan

    told = presence_summary(logits, targets)

    assert np.isfinite(told["per_device"]["auroc"]["mean"])
