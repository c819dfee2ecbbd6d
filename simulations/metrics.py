"""How well presence is told, when rows with somebody there are rarer than rows without.

Balanced accuracy is the mean of the two classes' recalls. AUROC and AUPRC (average precision) come
from scikit-learn; an AUPRC means little without the prevalence, which chance reaches. A device
whose rows are all of one class has no curve: it is left out of both and counted.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfleet.messages import Floats
from tinyfleet.simulations.evaluation import Scores, estimate

WORST = 0.1
"""Part of the devices that is worse than the worst-decile device."""

_Curve = Callable[[NDArray[np.bool_], NDArray[np.float64]], float]


def balanced_accuracy(outputs: Floats, targets: Floats) -> Scores:
    """Return each device's balanced accuracy in percent.

    A device whose rows are all of one class scores its recall of that class. Outputs that are not
    finite are wrong.

    Args:
        outputs: logits, above 0 for present, `(n, q, 1)`.
        targets: 0 or 1, `(n, q, 1)`.

    >>> logits = np.array([[[2.0], [1.0], [-1.0], [3.0]]], np.float32)
    >>> balanced_accuracy(logits, np.array([[[1.0], [1.0], [0.0], [0.0]]], np.float32)).tolist()
    [75.0]
    """
    present = targets[:, :, 0] > 0.5
    right = ((outputs[:, :, 0] > 0.0) == present) & np.isfinite(outputs[:, :, 0])
    recalls = [_share(right, present), _share(right, ~present)]
    return np.asarray(100.0 * np.nanmean(recalls, axis=0), np.float64)


def _share(right: NDArray[np.bool_], of: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of right rows among the rows `of`, `(n,)`; NaN where there are none."""
    count = of.sum(axis=1)
    return np.where(count > 0, (right & of).sum(axis=1) / np.maximum(count, 1), np.nan)


def presence_summary(outputs: Floats, targets: Floats) -> Mapping[str, Any]:
    """Return what else is known of devices that tell presence, as JSON values.

    Args:
        outputs: logits, `(n, q, 1)`, n at least 2.
        targets: 0 or 1, `(n, q, 1)`.

    Returns:
        `prevalence`, the percentage of rows with somebody there; `pooled`, the figures over all
        rows at once; `per_device`, their means over devices, each with 95 % interval and how many
        devices have it; `one_class`, devices that no curve can be drawn for; `worst_decile`, the
        balanced accuracy that a tenth of the devices does not reach. All in percent.
    """
    present = targets[:, :, 0] > 0.5
    finite = np.isfinite(outputs[:, :, 0])
    logits = np.where(finite, outputs[:, :, 0], np.float32(-np.inf)).clip(-1e30, 1e30)
    balanced = balanced_accuracy(outputs, targets)
    both = present.any(axis=1) & ~present.all(axis=1)
    curves = _curves()
    per_device = {"balanced_accuracy": asdict(estimate(balanced))}
    for name, curve in curves.items():
        found = [100.0 * curve(present[i], logits[i]) for i in np.flatnonzero(both)]
        if len(found) >= 2:
            per_device[name] = asdict(estimate(np.array(found)))
    whole = (1, -1, 1)
    pooled = {
        "balanced_accuracy": float(
            balanced_accuracy(outputs.reshape(whole), targets.reshape(whole))[0]
        )
    }
    if present.any() and not present.all():
        pooled |= {n: 100.0 * curve(present.ravel(), logits.ravel()) for n, curve in curves.items()}
    return {
        "prevalence": 100.0 * float(present.mean()),
        "pooled": pooled,
        "per_device": per_device,
        "one_class": int((~both).sum()),
        "worst_decile": float(np.quantile(balanced, WORST)),
    }


def _curves() -> dict[str, _Curve]:
    """Return the areas under the two curves, by name; scikit-learn is loaded only here."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    return {
        "auroc": lambda present, logits: float(roc_auc_score(present, logits)),
        "auprc": lambda present, logits: float(average_precision_score(present, logits)),
    }
