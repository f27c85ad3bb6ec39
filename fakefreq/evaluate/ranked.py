"""Every metric under many weightings at once: scores are sorted once, then each draw costs cumulative sums.

A bootstrap draw gives each image a multiplicity, so a resampled metric is a weighted one; with all weights 1 it is
the metric itself. Labels are 0 (real) and 1 (fake); an image is called fake where its logit exceeds the threshold.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from fakefreq.errors import UserError, choose
from fakefreq.evaluate.metrics import Array, check_scores
from fakefreq.evaluate.rank_sums import Ranking, RankSums

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
BLOCK = 100_000  # weights held at a time


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
        self.ranking = Ranking.of(label, logit)
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
        return self.resampled(weights, np.arange(weights.shape[1]), names)

    def resampled(
        self, counts: npt.NDArray[Any], columns: npt.NDArray[np.int64], names: Sequence[str]
    ) -> dict[str, Array]:
        """Return the metrics where each image's weight is that of its group.

        Args:
            counts: how often each group counts in each draw.
            columns: each image's column of `counts`, in the order of the labels.
            names: of `ALL_METRICS`.

        Shape:
            - counts: (draws, groups)
            - columns: (N,)
            - each metric: (draws,)
        """
        for name in names:
            choose(name, ALL_METRICS, "metric", "metrics")
        if self.threshold is None and set(CALLED) & set(names):
            raise UserError(f"{', '.join(sorted(set(CALLED) & set(names)))} need a threshold; give thresholds=")
        real, fake = columns[self.ranking.reals], columns[self.ranking.fakes]
        found: dict[str, list[Array]] = {name: [] for name in names}
        # Few draws at a time: their sums stay in the processor's cache, which is most of the speed.
        size = max(1, BLOCK // max(1, len(columns)))
        for start in range(0, len(counts), size):
            block = counts[start : start + size]
            weights = [np.take(block, chosen, axis=1).astype(np.float64) for chosen in (real, fake)]
            with np.errstate(divide="ignore", invalid="ignore"):
                values = self._values(RankSums(self.ranking, *weights), names)
            for name in names:
                found[name].append(values[name])
        return {name: np.concatenate(values) for name, values in found.items()}

    def _values(self, sums: RankSums, names: Sequence[str]) -> dict[str, Array]:
        found: dict[str, Array] = {}
        ranked: dict[str, Callable[[], Array]] = {
            "auc": sums.auc,
            "ap": sums.average_precision,
            "partial_auc": lambda: sums.partial_auc(PARTIAL_FPR),
            "eer": sums.equal_error_rate,
            "tpr_at_fpr_1": lambda: sums.tpr_at_fpr(0.01),
            "tpr_at_fpr_01": lambda: sums.tpr_at_fpr(0.001),
        }
        for name in names:
            if name in ranked:
                found[name] = ranked[name]()
        if set(CALLED) & set(names):
            found |= self._called(sums)
        if set(PROBABLE) & set(names):
            found |= self._probable(sums, names)
        return found

    def _called(self, sums: RankSums) -> dict[str, Array]:
        assert self.threshold is not None  # `resampled` has said so to the user
        hits, alarms = sums.above(self.threshold)
        fpr, tpr = alarms / sums.reals, hits / sums.fakes
        chance = self.prevalence
        return {
            "accuracy": (hits + sums.reals - alarms) / (sums.reals + sums.fakes),
            "balanced_accuracy": (1.0 - fpr + tpr) / 2.0,
            "fpr": fpr,
            "tpr": tpr,
            "precision": chance * tpr / (chance * tpr + (1.0 - chance) * fpr),
        }

    def _probable(self, sums: RankSums, names: Sequence[str]) -> dict[str, Array]:
        total = sums.reals + sums.fakes
        found: dict[str, Array] = {}
        if "accuracy_half" in names:
            hits, alarms = sums.above(0.0)
            found["accuracy_half"] = (hits + sums.reals - alarms) / total
        for name in {"brier", "nll"} & set(names):
            of_real, of_fake = self._losses[name]
            found[name] = (sums.real @ of_real + sums.fake @ of_fake) / total
        if "ece" in names:
            found["ece"] = sums.calibration_error(*self._losses["chance"], BINS)
        return found

    @cached_property
    def _losses(self) -> dict[str, tuple[Array, Array]]:
        """What the probabilities of reals and of fakes cost: the same in every draw."""
        real, fake = self.ranking.real_logits, self.ranking.fake_logits
        return {
            "chance": (expit(real), expit(fake)),
            "brier": (expit(real) ** 2, expit(-fake) ** 2),
            "nll": (np.logaddexp(0.0, real), np.logaddexp(0.0, -fake)),
        }

    def steps(self, ranked: Array) -> tuple[Array, Array]:
        """Return the weight of fakes and of reals at or above each distinct logit, ascending, and 0 after the last.

        Shape:
            - ranked: (draws, N), in the order of `self.order`
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
