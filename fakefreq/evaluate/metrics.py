"""Metrics on labels and logits. Scores are ranked and compared as they are: nothing here applies a sigmoid.

Labels are 0 (real) and 1 (fake), logits grow towards fake, and an image is called fake where its logit is
greater than the threshold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from fakefreq.errors import UserError

Array: TypeAlias = npt.NDArray[np.float64]


def check_scores(
    labels: npt.ArrayLike, logits: npt.ArrayLike, classes: tuple[int, ...] = (0, 1)
) -> tuple[npt.NDArray[np.int64], Array]:
    """Return labels and logits as flat arrays of int64 and float64, once they can be measured.

    Args:
        labels: 0 for real, 1 for fake.
        logits: one finite number for each label.
        classes: the labels of which at least one image is needed.

    Raises:
        UserError: different lengths, a label other than 0 and 1, a class that is missing, NaN or inf among
            the logits.
    """
    label, logit = np.asarray(labels), np.asarray(logits, dtype=np.float64)
    if label.ndim != 1 or label.shape != logit.shape:
        raise UserError(
            f"labels and logits must be two lists of one length; got shapes {label.shape} and {logit.shape}"
        )
    unknown = np.setdiff1d(label, [0, 1])
    if unknown.size:
        raise UserError(f"labels are 0 (real) and 1 (fake); got {', '.join(map(str, unknown[:5]))}")
    for value, name in ((0, "real"), (1, "fake")):
        if value in classes and not (label == value).any():
            raise UserError(f"there is no {name} image among {label.size} scores; this metric needs both classes")
    bad = ~np.isfinite(logit)
    if bad.any():
        first = int(np.argmax(bad))
        raise UserError(
            f"{int(bad.sum())} of {logit.size} logits are not finite (first: {logit[first]}, row {first}); "
            "score these images again"
        )
    return label.astype(np.int64), logit


def auc(labels: npt.ArrayLike, logits: npt.ArrayLike) -> float:
    """Return the area under the ROC curve: how often a fake scores above a real, ties counted half.

    >>> auc([0, 0, 1, 1], [-1.0, 0.5, 0.0, 2.0])
    0.75
    """
    label, logit = check_scores(labels, logits)
    return float(roc_auc_score(label, logit))


def average_precision(labels: npt.ArrayLike, logits: npt.ArrayLike) -> float:
    """Return the average precision of finding fakes, in [0, 1]; its chance level is the share of fakes.

    >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 3)
    0.833
    """
    label, logit = check_scores(labels, logits)
    return float(average_precision_score(label, logit))


def roc_curve(labels: npt.ArrayLike, logits: npt.ArrayLike) -> tuple[Array, Array]:
    """Return false-positive and true-positive rates of every threshold, from (0, 0) to (1, 1)."""
    label, logit = check_scores(labels, logits)
    fpr, tpr, _ = sklearn_roc_curve(label, logit, drop_intermediate=False)
    return np.asarray(fpr, dtype=np.float64), np.asarray(tpr, dtype=np.float64)


def accuracy(labels: npt.ArrayLike, logits: npt.ArrayLike, threshold: float) -> float:
    """Return the share of images called rightly, in [0, 1].

    It moves with the share of fakes in the set: on nine reals to one fake, calling all real gives .9. Compare
    sets of different shares by `balanced_accuracy`.

    Args:
        labels: 0 for real, 1 for fake; one class alone is allowed.
        logits: one finite number for each label.
        threshold: a logit; above it an image is called fake.

    >>> accuracy([0, 0, 1, 1], [-1.0, 0.5, 0.0, 2.0], threshold=0.25)
    0.5
    """
    label, logit = check_scores(labels, logits, classes=())
    if not label.size:
        raise UserError("there is no score to take the accuracy of")
    return float(((logit > _finite(threshold)) == (label == 1)).mean())


def false_positive_rate(labels: npt.ArrayLike, logits: npt.ArrayLike, threshold: float) -> float:
    """Return the share of reals that are called fake, in [0, 1]; fakes are not needed."""
    label, logit = check_scores(labels, logits, classes=(0,))
    return float((logit[label == 0] > _finite(threshold)).mean())


def true_positive_rate(labels: npt.ArrayLike, logits: npt.ArrayLike, threshold: float) -> float:
    """Return the share of fakes that are called fake, in [0, 1]; reals are not needed."""
    label, logit = check_scores(labels, logits, classes=(1,))
    return float((logit[label == 1] > _finite(threshold)).mean())


def balanced_accuracy(labels: npt.ArrayLike, logits: npt.ArrayLike, threshold: float) -> float:
    """Return the mean of the share of reals and the share of fakes called rightly; chance is .5."""
    label, logit = check_scores(labels, logits)
    false_positives = false_positive_rate(label, logit, threshold)
    return (1.0 - false_positives + true_positive_rate(label, logit, threshold)) / 2.0


def equal_error_rate(labels: npt.ArrayLike, logits: npt.ArrayLike) -> float:
    """Return the error rate where reals called fake and fakes called real are equally frequent, in [0, 1].

    Between the two thresholds around that point the ROC curve is taken as a straight line.

    >>> equal_error_rate([0, 0, 1, 1], [0.0, 1.0, 2.0, 3.0])
    0.0
    """
    fpr, tpr = roc_curve(labels, logits)
    gap = fpr - (1.0 - tpr)  # grows from -1 at (0, 0) to 1 at (1, 1)
    after = int(np.argmax(gap >= 0))
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(fpr[after - 1] + share * (fpr[after] - fpr[after - 1]))


def tpr_at_fpr(labels: npt.ArrayLike, logits: npt.ArrayLike, fpr: float) -> float:
    """Return the highest share of fakes found by a threshold that calls at most `fpr` of the reals fake.

    No interpolation: with fewer than 1 / `fpr` reals it is the share found without any false positive.

    Args:
        labels: 0 for real, 1 for fake.
        logits: one finite number for each label.
        fpr: the tolerated false-positive rate, in [0, 1].

    >>> tpr_at_fpr([0, 0, 1, 1], [0.0, 1.0, 0.5, 3.0], fpr=0.01)
    0.5
    """
    if not 0.0 <= fpr <= 1.0:
        raise UserError(f"a false-positive rate is between 0 and 1; got fpr={fpr}")
    rates, found = roc_curve(labels, logits)
    return float(found[rates <= fpr].max())


def best_threshold(labels: npt.ArrayLike, logits: npt.ArrayLike) -> float:
    """Return the threshold of greatest balanced accuracy; choose it on validation, never on test images.

    Every threshold inside an interval between neighbouring logits calls the same images fake. Of the
    intervals of greatest balanced accuracy (neighbours joined) the longest is taken, the lowest of equally
    long ones, and of it the midpoint. Where no interval beats calling all images alike, the greatest logit is
    returned: nothing on validation is then called fake.

    >>> best_threshold([0, 0, 1, 1], [-2.0, -1.0, 3.0, 4.0])
    1.0
    """
    label, logit = check_scores(labels, logits)
    values, place = np.unique(logit, return_inverse=True)
    real = np.bincount(place, weights=label == 0, minlength=values.size)
    fake = np.bincount(place, weights=label == 1, minlength=values.size)
    # Youden's index in whole numbers (times reals times fakes), so that equal ones compare as equal. Entry k
    # is that of the thresholds in [values[k], values[k + 1]).
    youden = np.round(np.cumsum(real) * fake.sum() - np.cumsum(fake) * real.sum())
    if youden.max() <= 0:
        return float(values[-1])
    best = np.concatenate(([False], youden == youden.max(), [False]))
    starts = np.flatnonzero(best[1:] & ~best[:-1])
    ends = np.flatnonzero(best[:-1] & ~best[1:])
    longest = int(np.argmax(values[ends] - values[starts]))
    low, high = values[starts[longest]], values[ends[longest]]
    middle = low + (high - low) / 2.0
    return float(middle if middle < high else low)


ALARM_RATES = {"1": 0.01, "5": 0.05}
"""Name -> the share of validation photographs that a threshold of `Thresholds.alarms` lets through as fake."""


@dataclass(frozen=True)
class Thresholds:
    """The logits above which one cell calls an image fake, all chosen on its validation images.

    Args:
        balanced: of greatest balanced accuracy.
        alarms: `1`, `5` -> the lowest logit that at most 1 or 5 % of the validation photographs exceed; absent where
            there are fewer photographs than one of a hundred, or of twenty, can be told by.
        photographs: validation photographs that these were chosen by.
    """

    balanced: float
    alarms: Mapping[str, float]
    photographs: int


def choose_thresholds(labels: npt.ArrayLike, logits: npt.ArrayLike, balanced: float | None = None) -> Thresholds:
    """Return the thresholds that validation images give.

    Args:
        labels: 0 for real, 1 for fake.
        logits: one finite number for each label.
        balanced: the threshold of greatest balanced accuracy where it is known; with it no image is needed.

    >>> found = choose_thresholds([0] * 100 + [1], list(range(100)) + [200])
    >>> found.balanced, found.alarms["1"], found.alarms["5"]
    (149.5, 98.0, 94.0)
    """
    label, logit = check_scores(labels, logits, classes=())
    reals = np.sort(logit[label == 0])
    alarms = {}
    for name, rate in ALARM_RATES.items():
        # The small term: .01 * 100 photographs is one photograph.
        allowed = int(rate * reals.size + 1e-9)
        if allowed:
            alarms[name] = float(reals[-1 - allowed])
    return Thresholds(best_threshold(label, logit) if balanced is None else balanced, alarms, int(reals.size))


def _finite(threshold: float) -> float:
    if not np.isfinite(threshold):
        raise UserError(f"the threshold must be a finite logit; got {threshold}")
    return threshold
