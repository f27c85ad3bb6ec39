"""Every metric under many weightings at once: scores are sorted once, then each draw costs cumulative sums.

A bootstrap draw gives each image a multiplicity, so a resampled metric is a weighted one; with all weights 1 it is
the metric itself. Labels are 0 (real) and 1 (fake); an image is called fake where its logit exceeds the threshold.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from fakefreq.errors import UserError, choose
from fakefreq.evaluate.metrics import Array, check_scores

RANKED = ["auc", "ap", "partial_auc", "eer", "tpr_at_fpr_1", "tpr_at_fpr_01"]
"""Metrics of the order of the images alone."""
CALLED = ["accuracy", "balanced_accuracy", "fpr", "tpr", "precision"]
"""Metrics at the validation threshold."""
PROBABLE = ["accuracy_half", "brier", "nll", "ece"]
"""Metrics of the logits as probabilities."""
ALL_METRICS = [*RANKED, *CALLED, *PROBABLE]
LOWER_IS_BETTER = ["eer", "fpr", "brier", "nll", "ece"]
PARTIAL_FPR = 0.1
BINS = 10


class RankedScores:
    """Scores sorted once, for metrics under many weights.

    Args:
        labels: 0 for real, 1 for fake.
        logits: one finite number for each label.
        threshold: a logit, of the `CALLED` metrics; None where they are not asked for.
        prevalence: share of fakes in the world that `precision` is stated for, in (0, 1).
        classes: the labels that must be there; (0,) for reals alone, of which only `fpr` can be asked.
    """

    def __init__(
        self,
        labels: npt.ArrayLike,
        logits: npt.ArrayLike,
        threshold: float | None = None,
        prevalence: float = 0.01,
        classes: tuple[int, ...] = (0, 1),
    ) -> None:
        label, logit = check_scores(labels, logits, classes)
        self.order = np.argsort(logit, kind="stable")
        self.fake = (label[self.order] == 1).astype(np.float64)
        self.logits = logit[self.order]
        self.starts = np.flatnonzero(np.concatenate(([True], self.logits[1:] != self.logits[:-1])))
        self.threshold, self.prevalence = threshold, prevalence

    def metrics(self, weights: Array, names: Sequence[str]) -> dict[str, Array]:
        """Return each metric under each row of weights.

        Args:
            weights: how often each image counts, >= 0, in the order of the labels.
            names: of `ALL_METRICS`.

        Returns:
            name -> values; NaN for a row without weight on a class that the metric needs.

        Shape:
            - weights: (draws, N)
            - each metric: (draws,)
        """
        return self.ranked_metrics(weights[:, self.order], names)

    def ranked_metrics(self, ranked: Array, names: Sequence[str]) -> dict[str, Array]:
        """Return the metrics of weights that are in the order of `self.order` already."""
        for name in names:
            choose(name, ALL_METRICS, "metric", "metrics")
        with np.errstate(divide="ignore", invalid="ignore"):
            found = self._called(ranked, names) if set(CALLED) & set(names) else {}
            if set(PROBABLE) & set(names):
                found |= self._probable(ranked, names)
            if set(RANKED) & set(names):
                found |= self._by_rank(ranked, names)
        return {name: found[name] for name in names}

    def steps(self, ranked: Array) -> tuple[Array, Array]:
        """Return the weight of fakes and of reals at or above each distinct logit, ascending, and 0 after the last.

        Shape:
            - ranked: (draws, N)
            - fakes, reals: (draws, steps + 1)
        """
        fake = ranked * self.fake
        real = ranked - fake
        if len(self.starts) < ranked.shape[1]:  # tied scores count as one step of the curve
            fake = np.add.reduceat(fake, self.starts, axis=1)
            real = np.add.reduceat(real, self.starts, axis=1)
        above = []
        for weight in (fake, real):
            # From the total downwards: multiplicities are whole numbers, so these sums are exact.
            total = np.zeros((len(weight), weight.shape[1] + 1))
            total[:, :-1] = np.cumsum(weight[:, ::-1], axis=1)[:, ::-1]
            above.append(total)
        return above[0], above[1]

    def _by_rank(self, ranked: Array, names: Sequence[str]) -> dict[str, Array]:
        hits, alarms = self.steps(ranked)
        fakes, reals = hits[:, 0], alarms[:, 0]
        found: dict[str, Array] = {}
        if "auc" in names:
            fake = hits[:, :-1] - hits[:, 1:]
            below = reals[:, None] - (alarms[:, :-1] + alarms[:, 1:]) / 2.0
            found["auc"] = np.einsum("ij,ij->i", fake, below) / (fakes * reals)
        if "ap" in names:
            flagged = hits[:, :-1] + alarms[:, :-1]
            precision = np.divide(hits[:, :-1], flagged, out=np.zeros_like(flagged), where=flagged > 0)
            found["ap"] = np.einsum("ij,ij->i", hits[:, :-1] - hits[:, 1:], precision) / fakes
        for name, rate in (("tpr_at_fpr_1", 0.01), ("tpr_at_fpr_01", 0.001)):
            if name in names:
                # The first step with few enough alarms; a hair's room, because .01 * 100 reals is one real.
                first = (alarms > rate * reals[:, None] + 1e-9).sum(axis=1)
                found[name] = np.take_along_axis(hits, np.minimum(first, hits.shape[1] - 1)[:, None], 1)[:, 0] / fakes
        if "eer" in names:
            gap = alarms / reals[:, None] + hits / fakes[:, None] - 1.0  # falls from 1 to -1
            after = np.maximum((gap >= 0).sum(axis=1) - 1, 0)[:, None]
            high, low = (np.take_along_axis(gap, after + step, 1)[:, 0] for step in (0, 1))
            ends = [np.take_along_axis(alarms, after + step, 1)[:, 0] / reals for step in (0, 1)]
            found["eer"] = ends[1] + (ends[0] - ends[1]) * -low / (high - low)
        if "partial_auc" in names:
            found["partial_auc"] = _partial(hits / fakes[:, None], alarms / reals[:, None])
        return found

    def _called(self, ranked: Array, names: Sequence[str]) -> dict[str, Array]:
        if self.threshold is None:
            raise UserError(f"{', '.join(sorted(set(CALLED) & set(names)))} need a threshold; give thresholds=")
        above = (self.logits > self.threshold).astype(np.float64)
        fakes, alarms, hits = ranked @ self.fake, ranked @ (above * (1.0 - self.fake)), ranked @ (above * self.fake)
        total = ranked.sum(axis=1)
        fpr, tpr = alarms / (total - fakes), hits / fakes
        chance = self.prevalence
        return {
            "accuracy": (hits + total - fakes - alarms) / total,
            "balanced_accuracy": (1.0 - fpr + tpr) / 2.0,
            "fpr": fpr,
            "tpr": tpr,
            "precision": chance * tpr / (chance * tpr + (1.0 - chance) * fpr),
        }

    def _probable(self, ranked: Array, names: Sequence[str]) -> dict[str, Array]:
        total = ranked.sum(axis=1)
        chance = expit(self.logits)
        signed = np.where(self.fake == 1, self.logits, -self.logits)
        values = {
            "accuracy_half": ((self.logits > 0) == (self.fake == 1)).astype(np.float64),
            "brier": (chance - self.fake) ** 2,
            "nll": np.logaddexp(0.0, -signed),
        }
        found = {name: ranked @ value / total for name, value in values.items() if name in names}
        if "ece" in names:
            found["ece"] = self._calibration_error(ranked, chance - self.fake) / total
        return found

    def _calibration_error(self, ranked: Array, excess: Array) -> Array:
        """Sum over bins of equal weight of the absolute sum of what the probabilities exceed the labels by."""
        bins = self.bins(ranked)
        cells = bins + np.arange(len(ranked))[:, None] * BINS
        weights = (ranked * excess).ravel()
        sums = np.bincount(cells.ravel(), weights, len(ranked) * BINS).reshape(-1, BINS)
        return np.asarray(np.abs(sums).sum(axis=1), dtype=np.float64)

    def bins(self, ranked: Array) -> npt.NDArray[np.int64]:
        """Return the bin of each image, 0 to BINS - 1, of about equal weight; tied scores are in one bin.

        Shape:
            - ranked, bins: (draws, N)
        """
        weight = np.add.reduceat(ranked, self.starts, axis=1)
        middle = np.cumsum(weight, axis=1) - weight / 2.0
        share = middle / np.maximum(ranked.sum(axis=1, keepdims=True), 1e-300)
        sizes = np.diff(np.append(self.starts, ranked.shape[1]))
        bins: npt.NDArray[np.int64] = np.repeat(np.minimum((share * BINS).astype(np.int64), BINS - 1), sizes, axis=1)
        return bins


def _partial(tpr: Array, fpr: Array) -> Array:
    """The area of the ROC curve left of `PARTIAL_FPR`, standardised so that chance is .5 (McClish 1989)."""
    left, right = fpr[:, 1:], fpr[:, :-1]
    width = np.clip(np.minimum(right, PARTIAL_FPR) - left, 0.0, None)
    slope = np.divide(tpr[:, :-1] - tpr[:, 1:], right - left, out=np.zeros_like(width), where=right > left)
    area = (width * (tpr[:, 1:] + slope * width / 2.0)).sum(axis=1)
    least, most = PARTIAL_FPR**2 / 2.0, PARTIAL_FPR
    return np.asarray(0.5 * (1.0 + (area - least) / (most - least)))


def too_few(metric: str, n_real: int, n_fake: int) -> str:
    """Return why a metric has no meaning on this few images; empty where it has.

    >>> too_few("tpr_at_fpr_01", 400, 400)
    'needs 1000 reals, there are 400'
    """
    reals = {"tpr_at_fpr_1": 100, "tpr_at_fpr_01": 1000, "partial_auc": 20, "tpr": 0}.get(metric, 1)
    fakes = {"fpr": 0}.get(metric, 1)
    if n_real < reals:
        return f"needs {reals} reals, there are {n_real}"
    if n_fake < fakes:
        return "needs fakes, there are none"
    if metric == "ece" and n_real + n_fake < BINS * 10:
        return f"needs {BINS * 10} images, there are {n_real + n_fake}"
    return ""
