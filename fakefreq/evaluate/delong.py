"""Paired DeLong tests of AUCs, and intervals of one AUC.

Images of one group (one identity, a photo and the fake made of it) are not independent. Where groups are
given the variance is Obuchowski's for clustered data, which is DeLong's where every image is a group of its
own.

E. DeLong, D. DeLong, D. Clarke-Pearson (1988), Comparing the areas under two or more correlated receiver
operating characteristic curves; X. Sun, W. Xu (2014), Fast implementation of DeLong's algorithm; N.
Obuchowski (1997), Nonparametric analysis of clustered ROC curve data.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata

from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import Array, check_scores


@dataclass(frozen=True)
class DeLong:
    """A paired comparison of two AUCs on the same images.

    Args:
        auc_a: of the first detector.
        auc_b: of the second.
        difference: auc_a - auc_b.
        standard_error: of the difference; None where the images are too few to tell.
        z: difference / standard_error; None where there is no standard error, or it is 0 for unequal AUCs.
        p: two-sided, under the hypothesis of equal AUCs; 1 where the detectors rank alike.
        reason: why z or p is None or 1 without a test; else empty.
    """

    auc_a: float
    auc_b: float
    difference: float
    standard_error: float | None
    z: float | None
    p: float | None
    reason: str = ""


def placements(labels: npt.NDArray[np.int64], logits: Array) -> tuple[float, Array]:
    """Return the AUC and each image's placement: the share of the other class ordered rightly against it.

    By midranks, in O(n log n): the rank among all images less the rank among its own class counts the images
    of the other class below it.

    Args:
        labels: 0 and 1, both present.
        logits: one finite number for each label.

    Shape:
        - labels, logits, placements: (N,)
    """
    fake = labels == 1
    below = rankdata(logits)
    below[fake] -= rankdata(logits[fake])
    below[~fake] -= rankdata(logits[~fake])
    placement = np.where(fake, below / (~fake).sum(), 1.0 - below / fake.sum())
    return float(placement[fake].mean()), placement


def _variance(labels: npt.NDArray[np.int64], values: Array, groups: npt.NDArray[np.int64]) -> float | None:
    """The variance of the mean placement over either class, from placements or their differences.

    Returns None where a class has fewer than two groups.
    """
    total, counts = np.zeros((2, groups.max() + 1)), []
    for label in (0, 1):
        of_class = labels == label
        centred = (values[of_class] - values[of_class].mean()) / of_class.sum()
        np.add.at(total[label], groups[of_class], centred)
        counts.append(len(np.unique(groups[of_class])))
    if min(counts) < 2:
        return None
    everything = len(np.unique(groups))
    variance = sum(count / (count - 1) * (total[label] ** 2).sum() for label, count in enumerate(counts))
    variance += 2.0 * everything / (everything - 1) * (total[0] * total[1]).sum()
    # Rounding leaves about 1e-33 of placements that are all alike; the three terms may also sum to just below
    # 0.
    return float(variance) if variance > 1e-30 else 0.0


def _group_codes(groups: npt.ArrayLike | None, count: int) -> npt.NDArray[np.int64]:
    if groups is None:
        return np.arange(count)
    given = np.asarray(groups)
    if given.shape != (count,):
        raise UserError(f"groups must name one group for each of the {count} images; got shape {given.shape}")
    return np.unique(given, return_inverse=True)[1].astype(np.int64)


def delong(
    labels: npt.ArrayLike,
    logits_a: npt.ArrayLike,
    logits_b: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
) -> DeLong:
    """Test whether two detectors have the same AUC, on the same images.

    Args:
        labels: 0 for real, 1 for fake.
        logits_a: the first detector's, in the order of the labels.
        logits_b: the second detector's.
        groups: a name for each image's group; None where every image is independent.

    Raises:
        UserError: one class only, lengths that differ, logits that are not finite.

    >>> result = delong([0, 0, 0, 1, 1, 1], [1, 2, 4, 3, 5, 6], [1, 4, 5, 2, 3, 6])
    >>> round(result.difference, 3), round(result.standard_error, 3), round(result.p, 3)
    (0.333, 0.272, 0.221)
    """
    label, a = check_scores(labels, logits_a)
    _, b = check_scores(labels, logits_b)
    (auc_a, placement_a), (auc_b, placement_b) = placements(label, a), placements(label, b)
    variance = _variance(label, placement_a - placement_b, _group_codes(groups, label.size))
    difference = auc_a - auc_b
    if np.allclose(placement_a, placement_b, rtol=0, atol=1e-12):
        return DeLong(auc_a, auc_b, 0.0, 0.0, 0.0, 1.0, "both detectors order the images alike")
    if variance is None:
        return DeLong(auc_a, auc_b, difference, None, None, None, "a class has fewer than two independent groups")
    error = float(np.sqrt(variance))
    if error == 0.0:
        reason = "the difference has no spread over the images, so there is no test"
        return DeLong(auc_a, auc_b, difference, 0.0, None, None, reason)
    z = difference / error
    return DeLong(auc_a, auc_b, difference, error, z, float(2.0 * norm.sf(abs(z))))


def delong_interval(
    labels: npt.ArrayLike, logits: npt.ArrayLike, groups: npt.ArrayLike | None = None, level: float = 0.95
) -> tuple[float, float] | None:
    """Return the interval of one AUC: normal on the log-odds scale, so that it stays in [0, 1].

    Args:
        labels: 0 for real, 1 for fake.
        logits: one finite number for each label.
        groups: a name for each image's group; None where every image is independent.
        level: coverage, in (0, 1).

    Returns:
        (low, high); None where there are fewer than two groups of a class, or the classes are perfectly
        separated: then the placements have no spread to make an interval of.
    """
    label, logit = check_scores(labels, logits)
    area, placement = placements(label, logit)
    variance = _variance(label, placement, _group_codes(groups, label.size))
    if variance is None or area in (0.0, 1.0):
        return None
    centre = np.log(area / (1.0 - area))
    half = norm.ppf(0.5 + level / 2.0) * np.sqrt(variance) / (area * (1.0 - area))
    low, high = 1.0 / (1.0 + np.exp(-(centre + np.array([-half, half]))))
    return float(low), float(high)
